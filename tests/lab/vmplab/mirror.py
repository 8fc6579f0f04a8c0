"""The operator's package mirror: a flat repository with the updates, served on the bridge."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

from . import own_packages, processes
from .base_image import require_versions, run_in_copy
from .cache import build_once, recipe_hash
from .run import wait_until
from .settings import MIRROR_PORT, Settings

_ROLE = "mirror"

# Only libvirt and QEMU (and QEMU's firmware) come from the newer suite: an update of the whole system
# would hide what is being tested. Open vSwitch is there for hosts that are to have one.
_SCRIPT = """
sed 's/ {suite} / {updates} /' /etc/apt/sources.list > /etc/apt/sources.list.d/updates.list
cat > /etc/apt/preferences.d/lab <<END
Package: src:libvirt src:qemu src:seabios
Pin: release n={updates}
Pin-Priority: 990
END
apt-get update -q
apt-get -q -y -o Dir::Cache::archives=/out -o APT::Sandbox::User=root --download-only dist-upgrade libvirt-daemon-system qemu-system-x86
apt-get -q -y -o Dir::Cache::archives=/out -o APT::Sandbox::User=root --download-only --no-install-recommends install openvswitch-switch ethtool
{newer_openvswitch}
apt-get -q -y install apt-utils
cd /out
rm -rf partial lock
apt-ftparchive packages . > Packages
gzip -k Packages
apt-ftparchive release . > Release
"""

# The same Open vSwitch under a later version: an update of it that restarts it, in every release alike.
_NEWER_OPENVSWITCH = r"""
mkdir /tmp/openvswitch
for package in /out/openvswitch-switch_*.deb /out/openvswitch-common_*.deb; do
    tree=/tmp/openvswitch/tree
    dpkg-deb --raw-extract "$package" "$tree"
    version=$(sed -n 's/^Version: //p' "$tree/DEBIAN/control")
    sed -i "/^Version: /s/$/+lab1/; s/(= $version)/(= $version+lab1)/g" "$tree/DEBIAN/control"
    dpkg-deb -Zgzip -z1 --build "$tree" /tmp/openvswitch
    rm -r "$tree"
done
mv /tmp/openvswitch/*.deb /out/
"""


def provide(settings: Settings, base: Path) -> Path:
    def build(folder: Path) -> None:
        own_packages.build(folder, "2.0")
        release = settings.release
        script = _SCRIPT.format(suite=release.suite, updates=release.updates, newer_openvswitch=_NEWER_OPENVSWITCH)
        run_in_copy(base, folder, script, what="Filling the package mirror")
        wanted = {"libvirt-daemon-system": release.new_libvirt, "qemu-system-x86": release.new_qemu}
        require_versions(_listed(folder, tuple(wanted)), wanted, "package mirror")

    recipe = recipe_hash(base.name, Path(__file__), Path(own_packages.__file__))
    return build_once(settings.cache, "mirror", recipe, build)


def _listed(folder: Path, packages: tuple[str, ...]) -> str:
    """Lines of package and version, as the mirror's list has them."""
    entries = [dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line) for entry in (folder / "Packages").read_text().split("\n\n")]
    return "\n".join(f"{entry['Package']} {entry['Version']}" for entry in entries if entry.get("Package") in packages)


def is_up(settings: Settings) -> bool:
    return bool(processes.find(settings, _ROLE)) and _answers(settings)


def start(settings: Settings, folder: Path) -> None:
    server = ("-m", "http.server", "--bind", settings.gateway, "--directory", str(folder), str(MIRROR_PORT))
    processes.start(settings, _ROLE, (sys.executable, *server), settings.state / "mirror.log")
    wait_until(lambda: _answers(settings), what=f"An answer of the package mirror {settings.mirror_url}", timeout=15)


def _answers(settings: Settings) -> bool:
    # Straight to the bridge, whatever proxy the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(settings.mirror_url + "Release", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, TimeoutError):
        return False
