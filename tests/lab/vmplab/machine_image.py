"""The disk of hosts of the kind machine: the hosts' base with a stock kernel, its initramfs, a boot loader, AppArmor, and the guests' image."""

import shutil
import subprocess
from pathlib import Path

from .base_image import CHROOT
from .cache import build_once, recipe_hash
from .layout import GUEST_IMAGE
from .qemu_sockets import Agent
from .releases import Release
from .run import run_contained, wait_until
from .settings import Settings

_DISK_MIB = 8192
_BLOCK = 4096
_START = 1024 * 1024  # of the only partition; the boot loader is before it

# What the base lacks because a container has no use for it. The agent stands for the console: by it the lab reaches a machine that has no network yet.
_PACKAGES = "linux-image-amd64 initramfs-tools zstd grub-pc apparmor kexec-tools qemu-guest-agent kmod e2fsprogs"

# A processor without AVX, whose instructions are slow to emulate, and a kernel that does not work around the faults of real ones.
CPU = "Nehalem"
_COMMAND_LINE = "console=ttyS0 mitigations=off"

# $1 base, $2 scratch folder, $3 output folder, $4 the guests' image, $5 what is run in there.
_BUILD = f"""
mkdir -p "$2/upper" "$2/work" "$2/root" "$2/plain"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount --bind "$2/root" "$2/plain"
mount -t proc proc "$2/root/proc"
cp /etc/resolv.conf "$2/root/etc/resolv.conf"
{CHROOT} "$2/root" sh -euc "$5"
rm "$2/root/etc/resolv.conf"
mkdir -p "$2/root{GUEST_IMAGE}"
cp "$4"/* "$2/root{GUEST_IMAGE}/"
cp "$2"/root/boot/vmlinuz-* "$3/vmlinuz"
cp "$2"/root/boot/initrd.img-* "$3/initrd"
truncate -s {_DISK_MIB}M "$3/disk.raw"
printf 'label: dos\\nstart={_START // 512}, type=83, bootable\\n' | sfdisk --quiet "$3/disk.raw"
mke2fs -q -t ext4 -b {_BLOCK} -d "$2/plain" -E offset={_START} "$3/disk.raw" {(_DISK_MIB * 1024 * 1024 - _START) // _BLOCK}
qemu-img convert -O qcow2 "$3/disk.raw" "$3/disk.qcow2"
rm "$3/disk.raw"
"""

# libvirt's groups of controllers are a matter of containers only. A machine-id has to be there, else systemd takes the boot for the very first one and
# enables all that Debian leaves to the administrator.
_CONFIGURE = f"""
apt-get update -q
apt-get -q -y install {_PACKAGES}
apt-get clean
# A newer one is in the package mirror, for who wants a reboot.
apt-mark hold linux-image-amd64
sed -i /cgroup_controllers/d /etc/libvirt/qemu.conf
echo '/dev/vda1 / ext4 errors=remount-ro 0 1' > /etc/fstab
systemd-machine-id-setup
sed -i 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="{_COMMAND_LINE}"/; s/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=0/' /etc/default/grub
# A kernel that is installed later finds out by the debconf answer where the boot loader is.
echo 'grub-pc grub-pc/install_devices multiselect /dev/vda' | debconf-set-selections
systemctl disable e2scrub_reap.service
"""

_BOOT_LOADER = """
grub-install --target=i386-pc /dev/vda
update-grub
rm -f /etc/ssh/ssh_host_*
sync
"""


def provide(settings: Settings, release: Release, base: Path, guest_image: Path) -> Path:
    """The folder with `disk.qcow2`, which is never written to."""
    recipe = recipe_hash(base.name, guest_image.name, Path(__file__))
    return build_once(settings.cache, f"machine-{release.suite}", recipe, lambda folder: _build(folder, base, guest_image))


def qemu(folder: Path, disk: Path, memory_mib: int) -> tuple[str, ...]:
    """The command line of a machine: its console is the program's output, its monitor and its agent are sockets in `folder`."""
    return (
        "qemu-system-x86_64",
        "-nodefaults",
        "-machine", "q35",
        "-accel", "tcg,thread=multi",
        "-cpu", CPU,
        "-smp", "2",
        "-m", str(memory_mib),
        "-display", "none",
        "-device", "VGA",  # without one the boot loader waits for ever
        "-serial", "stdio",
        "-qmp", f"unix:{folder / 'monitor.sock'},server=on,wait=off",
        "-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe",
        "-device", "virtio-rng-pci",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=agent,path={folder / 'agent.sock'},server=on,wait=off",
        "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
    )  # fmt: skip


def _build(folder: Path, base: Path, guest_image: Path) -> None:
    scratch = folder.with_name(folder.name + "-scratch")
    run_contained(_BUILD, arguments=(str(base), str(scratch), str(folder), str(guest_image), _CONFIGURE), what="Making the disk of a machine")
    shutil.rmtree(scratch)
    _install_boot_loader(folder)


def _install_boot_loader(folder: Path) -> None:
    """Boot the machine once without one: it is installed by its own means, as on every other machine."""
    kernel = ("-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd"), "-append", f"root=/dev/vda1 rw {_COMMAND_LINE}")
    argv = ("setpriv", "--pdeathsig", "KILL", *qemu(folder, folder / "disk.qcow2", 1024), "-nic", "none", *kernel)
    with (folder / "console.log").open("wb") as console:
        machine = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
    try:
        with Agent(folder / "agent.sock", 300) as agent:
            agent.run("/bin/sh", "-euc", _BOOT_LOADER, timeout=120)
            agent.run("/usr/bin/systemctl", "poweroff", "--no-block", timeout=30)
        wait_until(lambda: machine.poll() is not None, what="The end of the machine that its boot loader was installed on", timeout=120)
    finally:
        machine.kill()
        machine.wait()
    for name in ("vmlinuz", "initrd", "monitor.sock", "agent.sock"):
        (folder / name).unlink(missing_ok=True)
