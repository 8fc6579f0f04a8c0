"""The releases of Debian that the lab's hosts can be made of: one row each. Pure."""

from dataclasses import dataclass

from .errors import LabError


@dataclass(frozen=True)
class Release:
    """One row of the table.

    suite: what the hosts are installed from. packages: what they need besides the packages of all releases.
    updates: the suite that has the newer libvirt and QEMU for the package mirror.
    unified: whether the hosts' systemd needs control groups of version 2, which the machine may not use itself.
    kernel: the metapackage of the guests' kernel, of kernel_suite. modules: where its package has its modules, below the root.
    module_suffix: of one module's file.
    libvirt, qemu: the oldest versions that the hosts may have. new_libvirt, new_qemu: those of the package mirror.
    Debian's archives move, and what is tried has to be what operators are offered today: newer ones are taken, and told. A build that finds older ones fails.
    """

    suite: str
    packages: tuple[str, ...]
    updates: str
    unified: bool
    kernel_suite: str
    kernel: str
    modules: str
    module_suffix: str
    libvirt: str
    qemu: str
    new_libvirt: str
    new_qemu: str


# From 13 on virtlockd is in a package of its own.
_LOCKD = ("libvirt-daemon-plugin-lockd",)

# What the hosts are made of if nobody says otherwise.
DEFAULT = "bookworm"

RELEASES = {
    row.suite: row
    for row in (
        Release(
            suite="bookworm", packages=(), updates="bookworm-backports", unified=False,
            kernel_suite="bookworm", kernel="linux-image-cloud-amd64", modules="lib/modules", module_suffix=".ko",
            libvirt="9.0", qemu="7.2", new_libvirt="11.3", new_qemu="10.0",
        ),
        Release(
            suite="trixie", packages=_LOCKD, updates="trixie-backports", unified=False,
            kernel_suite="trixie", kernel="linux-image-cloud-amd64", modules="usr/lib/modules", module_suffix=".ko.xz",
            libvirt="11.3", qemu="10.0", new_libvirt="11.3", new_qemu="11.1",
        ),
        # The testing suite: it has no backports. Its own kernel's package has no kernel in it but depends on others.
        Release(
            suite="forky", packages=_LOCKD, updates="sid", unified=True,
            kernel_suite="trixie", kernel="linux-image-cloud-amd64", modules="usr/lib/modules", module_suffix=".ko.xz",
            libvirt="12.8", qemu="11.1.2", new_libvirt="12.8", new_qemu="11.1.2",
        ),
    )
}  # fmt: skip


def names(text: str) -> list[str]:
    """The releases that are named in a text, separated by commas: the hosts are made of them in turn."""
    found = text.split(",")
    for name in found:
        if name not in RELEASES:
            raise LabError(f"'{name}' is none of the releases that the lab knows: {', '.join(RELEASES)}.")
    return found
