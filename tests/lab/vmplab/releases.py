"""The releases of Debian that the lab's hosts can be made of: one row each. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """One row of the table.

    suite: what the hosts are installed from. updates: the suite that has the newer libvirt and QEMU for the package mirror.
    kernel: the metapackage of the guests' kernel. modules: where its package has its modules, below the root. module_suffix: of one module's file.
    libvirt, qemu: how the versions begin that the hosts have. new_libvirt, new_qemu: those of the package mirror; None: it has no other than the hosts.
    A build that finds others fails: what was seen to work is then no longer what is tried.
    """

    suite: str
    updates: str
    kernel: str
    modules: str
    module_suffix: str
    libvirt: str
    qemu: str
    new_libvirt: str | None
    new_qemu: str


DEFAULT = "bookworm"

RELEASES = {
    row.suite: row
    for row in (
        Release(
            suite="bookworm", updates="bookworm-backports", kernel="linux-image-cloud-amd64", modules="lib/modules", module_suffix=".ko",
            libvirt="9.0.", qemu="7.2", new_libvirt="11.3.", new_qemu="10.0.",
        ),
        Release(
            suite="trixie", updates="trixie-backports", kernel="linux-image-cloud-amd64", modules="usr/lib/modules", module_suffix=".ko.xz",
            libvirt="11.3.", qemu="10.0.", new_libvirt=None, new_qemu="11.1.",
        ),
    )
}  # fmt: skip
