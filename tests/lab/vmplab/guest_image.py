"""The guests' kernel and initramfs: boots in about 2 s without hardware virtualisation."""

import shutil
from pathlib import Path

from .base_image import run_in_copy
from .cache import build_once, recipe_hash
from .settings import Settings

_INIT = Path(__file__).with_name("guest_init.sh")

# Run in a copy of the hosts' base, which has the same Debian as the guests. The modules are inserted
# in this order, so no tool that knows their dependencies is needed.
_SCRIPT = """
apt-get update -q
cd /tmp
kernel=$(apt-cache depends {kernel} | sed -n 's/.*Depends: //p' | head -n 1)
apt-get -q -o APT::Sandbox::User=root download "$kernel"
dpkg-deb -x "$kernel"_*.deb kernel
apt-get -q -y --no-install-recommends install busybox-static qemu-guest-agent cpio gzip xz-utils

tree=/tmp/tree
mkdir -p "$tree/bin" "$tree/sbin" "$tree/usr/bin" "$tree/usr/sbin" "$tree/modules" "$tree/etc" "$tree/proc" "$tree/sys" "$tree/dev"
cp /bin/busybox "$tree/bin/busybox"
cp /out/init "$tree/init"
chmod 755 "$tree/init"
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console \
              failover net_failover virtio_net; do
    if grep -q "/$module\\.ko$" kernel/{modules}/*/modules.builtin; then continue; fi
    cp "$(find kernel/{modules} -name "$module{suffix}")" "$tree/modules/"
    echo "$module" >> "$tree/modules/order"
done
find "$tree/modules" -name '*.xz' -exec unxz {} +
cp /usr/sbin/qemu-ga "$tree/usr/sbin/"
for library in $(ldd /usr/sbin/qemu-ga | grep -o '/[^ ]*'); do
    mkdir -p "$tree${library%/*}"
    cp -L "$library" "$tree$library"
done
(cd "$tree" && find . | cpio --quiet -o -H newc | gzip -6) > /out/initramfs
cp kernel/boot/vmlinuz-* /out/vmlinuz
rm /out/init
"""


def provide(settings: Settings, base: Path) -> Path:
    def build(folder: Path) -> None:
        shutil.copy(_INIT, folder / "init")
        script = _SCRIPT
        for word, value in (("kernel", settings.release.kernel), ("modules", settings.release.modules), ("suffix", settings.release.module_suffix)):
            script = script.replace(f"{{{word}}}", value)
        run_in_copy(base, folder, script, what="Building the guests' kernel and initramfs")

    return build_once(settings.cache, "guest", recipe_hash(base.name, Path(__file__), _INIT), build)
