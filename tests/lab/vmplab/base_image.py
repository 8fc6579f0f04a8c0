"""The hosts' common root file system: Debian with libvirt and QEMU, read-only under every host."""

import os
import re
import shutil
from pathlib import Path

from . import layout, own_packages
from .cache import build_once, recipe_hash
from .errors import LabError
from .releases import Release
from .run import progress, run, run_contained
from .settings import Settings

# All of Debian's releases are installed in the same way. debootstrap would look for a script of the release's name, and an older one does not know each.
_SCRIPT = "/usr/share/debootstrap/scripts/sid"

# The user without rights; Debian has a group of that name already.
OPERATOR_UID, OPERATOR_GID = 1000, 37
_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "libpam-systemd",  # without it polkitd cannot be configured
    "dbus",
    "udev",
    "openssh-server",
    "python3",
    "python3-libvirt",
    "libvirt-daemon-system",
    "libvirt-daemon-config-network",
    "libvirt-clients",
    "qemu-system-x86",
    "qemu-utils",
    "dnsmasq-base",
    "iptables",
    "nftables",  # keeps the address of scheduled events between a host and its guests
    "iproute2",
    "procps",
    "ca-certificates",
    "polkitd",
)

_FILES = {
    # The lab is thrown away after a crash of the machine: waiting for the disk, file by file, buys nothing.
    "etc/dpkg/dpkg.cfg.d/lab": "force-unsafe-io\n",
    # The mirror holds the updates and what they need, not all that they recommend. The list of a release that is being made can be past its date.
    "etc/apt/apt.conf.d/90lab": 'APT::Install-Recommends "false";\nAcquire::Languages "none";\nAcquire::Check-Valid-Until "false";\n',
    # Inside nspawn libvirt cannot make its own groups of controllers. Memory that is a file is to be in RAM.
    "etc/libvirt/qemu.conf": 'cgroup_controllers = [ ]\nmemory_backing_dir = "/dev/shm"\n',
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=volatile\n",
    # When a host goes down, guests that take no notice of the power button (agentless, paused) would hold
    # it for libvirt's five minutes.
    "etc/systemd/system/libvirt-guests.service.d/lab.conf": "[Service]\nTimeoutStopSec=15\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    # All hosts are on one machine: by its own UUID libvirt would take each for the other, and migrate nothing between them.
    "etc/libvirt/libvirtd.conf": 'host_uuid_source = "machine-id"\n',
    # The hosts' own keys are made anew with each host; they trust each other, as hosts between which guests are migrated do.
    "root/.ssh/config": "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n",
    "etc/systemd/system/lab-devices.service": """\
[Unit]
Description=Network devices for the lab's guests
Before=libvirtd.service
[Service]
Type=notify
Nice=-10
ExecStart=/usr/bin/python3 /usr/local/sbin/lab-devices
[Install]
WantedBy=multi-user.target
""",
    f"etc/libvirt/qemu/networks/{layout.MANAGED}.xml": f"""\
<network>
  <name>{layout.MANAGED}</name>
  <forward mode='bridge'/>
  <bridge name='{layout.BRIDGE}' macTableManager='libvirt'/>
</network>
""",
}
_DEVICES = Path(__file__).with_name("host_devices.py")

# The machine's own path and language need not make sense in there.
CHROOT = "env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot"

# Run in the new root: what Debian leaves to the administrator, or gives to every copy alike.
_CONFIGURE = f"""
dpkg -i /own-packages/*.deb
rm -r /own-packages
apt-mark hold {" ".join(own_packages.HELD)}
useradd --create-home --shell /bin/bash --uid {OPERATOR_UID} --gid operator operator
systemctl enable systemd-networkd.service lab-devices.service
# A timer that takes the package manager's lock would disturb the tests now and then.
systemctl disable apt-daily.timer apt-daily-upgrade.timer
ln -s ../default.xml ../{layout.MANAGED}.xml /etc/libvirt/qemu/networks/autostart/
rm -f /etc/ssh/ssh_host_* /etc/machine-id /etc/hostname /etc/resolv.conf /var/lib/dbus/machine-id
apt-get clean
"""


def provide(settings: Settings, release: Release) -> Path:
    recipe = recipe_hash(repr(release), Path(__file__), _DEVICES, Path(own_packages.__file__))
    return build_once(settings.cache, f"base-{release.suite}", recipe, lambda folder: _build(folder, release))


def _build(folder: Path, release: Release) -> None:
    mirror = os.environ.get("VMP_LAB_MIRROR") or machine_mirror()
    run_contained(
        'debootstrap --variant=minbase --include="$1" "$2" "$3" ${4:+"$4" "$5"}',
        arguments=(",".join((*_PACKAGES, *release.packages)), release.suite, str(folder), mirror, _SCRIPT),
        what="Installing Debian for the hosts (debootstrap)",
    )
    for path, text in _FILES.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    shutil.copy(_DEVICES, folder / "usr/local/sbin/lab-devices")
    own = folder / "own-packages"
    own.mkdir()
    own_packages.build(own, "1.0")
    run_contained(f'{CHROOT} "$1" sh -euc "$2"', arguments=(str(folder), _CONFIGURE), what="Configuring the hosts' base")
    query = ("dpkg-query", f"--admindir={folder}/var/lib/dpkg", "--show", "--showformat=${source:Package} ${Version}\n")
    listed = run((*query, "libvirt-daemon-system", "qemu-system-x86"), what="Asking for the versions of the hosts' base")
    require_versions(listed, {"libvirt": release.libvirt, "qemu": release.qemu}, "hosts' base")


def require_versions(listed: str, oldest: dict[str, str], where: str) -> None:
    """See that what was built is no older than releases.py says, and say what it is.

    listed: lines of a package and its version. oldest: of each package, the oldest version that will do, without epoch and revision.
    """
    found = dict(line.split() for line in listed.splitlines())
    for package, wanted in oldest.items():
        if _numbers(found.get(package, "")) < _numbers(wanted):
            raise LabError(f"The {where} has {package} {found.get(package, 'not at all')}, and releases.py says {wanted} or newer.")
    progress(f"the {where} has {', '.join(f'{package} {found[package]}' for package in oldest)}")


def _numbers(version: str) -> tuple[int, ...]:
    """Of a version of Debian's, with or without an epoch, the numbers that it begins with."""
    return tuple(int(number) for number in re.match(r"[0-9.]*", version.rpartition(":")[2])[0].split(".") if number)


def machine_mirror() -> str:
    """The Debian mirror that this machine's apt uses; empty (debootstrap's own choice) if it has none."""
    if shutil.which("apt-get") is None:
        return ""
    filters = ("Created-By: Packages", "Label: Debian", "Component: main")
    found = run(("apt-get", "indextargets", "--format", "$(REPO_URI)", *filters), what="Reading this machine's apt sources")
    return next((line for line in found.splitlines() if line.startswith("http")), "")


# $1 base, $2 scratch folder, $3 output folder, $4 script.
_IN_COPY = f"""
mkdir -p "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mkdir "$2/root/out"
mount --bind "$3" "$2/root/out"
cp /etc/resolv.conf "$2/root/etc/resolv.conf"
{CHROOT} "$2/root" sh -euc "$4"
"""


def run_in_copy(base: Path, folder: Path, script: str, *, what: str) -> None:
    """Run a shell script in a throw-away copy of the base, with network and with `folder` as /out."""
    scratch = folder.with_name(folder.name + "-scratch")
    run_contained(_IN_COPY, arguments=(str(base), str(scratch), str(folder), script), what=what)
    shutil.rmtree(scratch)
