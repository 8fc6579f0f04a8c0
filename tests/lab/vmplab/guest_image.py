"""The guests' kernel and initramfs: boots in about 2 s without hardware virtualisation."""

import shutil
from pathlib import Path

from .base_image import run_in_copy
from .cache import build_once, recipe_hash
from .releases import Release
from .settings import Settings

_INIT = Path(__file__).with_name("guest_init.sh")
_LISTEN = Path(__file__).with_name("guest_listen.sh")

# Run in a copy of the hosts' base, which has the same Debian as the guests, but for the kernel where the row says so.
# The modules are inserted in this order, so no tool that knows their dependencies is needed.
_SCRIPT = """
cd /tmp
cp /etc/apt/sources.list own.list
sed -i 's/ {suite} / {kernel_suite} /' /etc/apt/sources.list
apt-get update -q
kernel=$(apt-cache depends {kernel} | sed -n 's/.*Depends: //p' | head -n 1)
apt-get -q -o APT::Sandbox::User=root download "$kernel"
dpkg-deb -x "$kernel"_*.deb kernel
cp own.list /etc/apt/sources.list
apt-get update -q
apt-get -q -y --no-install-recommends install busybox-static qemu-guest-agent cpio gzip xz-utils

tree=/tmp/tree
mkdir -p "$tree/bin" "$tree/sbin" "$tree/usr/bin" "$tree/usr/sbin" "$tree/modules" "$tree/etc" "$tree/proc" "$tree/sys" "$tree/dev"
cp /bin/busybox "$tree/bin/busybox"
cp /out/init "$tree/init"
cp /out/listen "$tree/bin/listen"
chmod 755 "$tree/init" "$tree/bin/listen"
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console \
              failover net_failover virtio_net; do
    if grep -q "/$module\\.ko$" kernel/{modules}/*/modules.builtin; then continue; fi
    cp "$(find kernel/{modules} -name "$module{module_suffix}")" "$tree/modules/"
    echo "$module" >> "$tree/modules/order"
done
# For a guest that is quiesced: a file system that can be frozen. They are loaded when somebody asks for it.
mkdir "$tree/modules/disk"
for module in crc16 crc32c_generic libcrc32c mbcache jbd2 ext4 loop; do
    found=$(find kernel/{modules} -name "$module{module_suffix}")
    [ -n "$found" ] || continue
    cp "$found" "$tree/modules/disk/"
    echo "$module" >> "$tree/modules/disk/order"
done
find "$tree/modules" -name '*.xz' -exec unxz {} +
cp /usr/sbin/qemu-ga "$tree/usr/sbin/"
for library in $(ldd /usr/sbin/qemu-ga | grep -o '/[^ ]*'); do
    mkdir -p "$tree${library%/*}"
    cp -L "$library" "$tree$library"
done
(cd "$tree" && find . | cpio --quiet -o -H newc | gzip -6) > /out/initramfs
cp kernel/boot/vmlinuz-* /out/vmlinuz
rm /out/init /out/listen
"""


def provide(settings: Settings, release: Release, base: Path) -> Path:
    def build(folder: Path) -> None:
        shutil.copy(_INIT, folder / "init")
        shutil.copy(_LISTEN, folder / "listen")
        script = _SCRIPT
        for word in ("suite", "kernel_suite", "kernel", "modules", "module_suffix"):
            script = script.replace(f"{{{word}}}", getattr(release, word))
        run_in_copy(base, folder, script, what="Building the guests' kernel and initramfs")

    return build_once(settings.cache, f"guest-{release.suite}", recipe_hash(base.name, Path(__file__), _INIT, _LISTEN), build)
