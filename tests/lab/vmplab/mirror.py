"""The operator's package mirror: a flat repository with the updates of each release, served on the bridge."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

from . import own_packages, processes
from .base_image import require_versions, run_in_copy
from .cache import build_once, recipe_hash
from .releases import Release
from .run import wait_until
from .settings import MIRROR_PORT, Settings

_ROLE = "mirror"

# Only libvirt and QEMU (and QEMU's firmware) come from the newer suite: an update of the whole system
# would hide what is being tested. What the newer suite has beside them is taken only where they need it. Open vSwitch is for hosts that are to have one.
# The kernel is for hosts of the kind machine, which have one.
# The mirror has once more under a later version, the same code in new files: an Open vSwitch whose update restarts it, and libvirt where the newer suite
# has none.
_SCRIPT = """
sed 's/ {suite} / {updates} /' /etc/apt/sources.list > /etc/apt/sources.list.d/updates.list
cat > /etc/apt/preferences.d/lab <<END
Package: *
Pin: release n={updates}
Pin-Priority: 100

Package: src:libvirt src:qemu src:seabios
Pin: release n={updates}
Pin-Priority: 990
END
apt-get update -q
apt-get -q -y -o Dir::Cache::archives=/out -o APT::Sandbox::User=root --download-only dist-upgrade libvirt-daemon-system qemu-system-x86
apt-get -q -y -o Dir::Cache::archives=/out -o APT::Sandbox::User=root --download-only install openvswitch-switch ethtool
apt-get -q -y -o Dir::Cache::archives=/out -o APT::Sandbox::User=root --no-install-recommends --download-only install linux-image-amd64/{updates}
mkdir /tmp/again
cd /tmp/again
again="openvswitch-switch openvswitch-common"
if ! ls /out/libvirt-daemon-system_*.deb > /dev/null 2>&1; then
    again="$again $(dpkg-query --show --showformat='${{source:Package}} ${{Package}}\n' | sed -n 's/^libvirt //p')"
fi
apt-get -q -o APT::Sandbox::User=root download $again
for package in *.deb; do
    dpkg-deb --raw-extract "$package" tree
    version=$(sed -n 's/^Version: //p' tree/DEBIAN/control)
    sed -i "/^Version: /s/$/+lab1/; s/(= $version)/(= $version+lab1)/g" tree/DEBIAN/control
    dpkg-deb -Zgzip -z1 --build tree /out
    rm -r tree
done
apt-get -q -y install apt-utils
cd /out
rm -rf partial lock
apt-ftparchive packages . > Packages
gzip -k Packages
apt-ftparchive release . > Release
"""


def provide(settings: Settings, release: Release, base: Path) -> Path:
    def build(folder: Path) -> None:
        own_packages.build(folder, "2.0")
        script = _SCRIPT.format(suite=release.suite, updates=release.updates)
        run_in_copy(base, folder, script, what="Filling the package mirror")
        wanted = {"libvirt-daemon-system": release.new_libvirt, "qemu-system-x86": release.new_qemu}
        require_versions(_listed(folder, tuple(wanted)), wanted, "package mirror")

    recipe = recipe_hash(base.name, Path(__file__), Path(own_packages.__file__))
    return build_once(settings.cache, f"mirror-{release.suite}", recipe, build)


def _listed(folder: Path, packages: tuple[str, ...]) -> str:
    """Lines of package and version, as the mirror's list has them."""
    entries = [dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line) for entry in (folder / "Packages").read_text().split("\n\n")]
    return "\n".join(f"{entry['Package']} {entry['Version']}" for entry in entries if entry.get("Package") in packages)


def is_up(settings: Settings) -> bool:
    return bool(processes.find(settings, _ROLE)) and _answers(settings)


def start(settings: Settings, folders: dict[str, Path]) -> None:
    """Serve the folder of each release under its name."""
    root = settings.state / "mirror"
    root.mkdir()
    for name, folder in folders.items():
        (root / name).symlink_to(folder)
    server = ("-m", "http.server", "--bind", settings.gateway, "--directory", str(root), str(MIRROR_PORT))
    processes.start(settings, _ROLE, (sys.executable, *server), settings.state / "mirror.log")
    wait_until(lambda: _answers(settings), what=f"An answer of the package mirror {settings.mirror_url}", timeout=15)


def _answers(settings: Settings) -> bool:
    # Straight to the bridge, whatever proxy the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(settings.mirror_url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, TimeoutError):
        return False
