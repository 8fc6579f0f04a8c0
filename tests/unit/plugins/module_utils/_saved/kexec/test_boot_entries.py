# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/kexec/boot_entries: what GRUB and grubby tell each kernel."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.kexec.boot_entries import Entry, of_grub, of_grubby, without

GRUB = """
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
fi
linuxish=1
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-x' {
\tlinux\t/boot/vmlinuz-6.1.0-41-amd64 root=/dev/vda1 ro console=ttyS0 memmap=1G!4G quiet
\tinitrd\t/boot/initrd.img-6.1.0-41-amd64
}
submenu 'Advanced options for Debian GNU/Linux' {
\t\tlinux16 /vmlinuz-6.12.57-amd64 root=/dev/vda1 ro memmap=1G!4G
\t\tlinuxefi\t/boot/vmlinuz-6.1.0-41-amd64 root=/dev/vda1 ro single
}
menuentry "Memory test" {
\tlinux /boot/memtest86+x64.bin
}
menuentry 'Another system' {
\tlinux /boot/vmlinuz-5.0 root=/dev/vdb1
}
"""
KERNELS = ["vmlinuz-6.1.0-41-amd64", "vmlinuz-6.12.57-amd64"]

GRUBBY = """index=0
kernel="/boot/vmlinuz-5.14.0-503.el9.x86_64"
args="ro crashkernel=1G-4G:192M memmap=1G!4G rd.lvm.lv=rl/root"
root="/dev/mapper/rl-root"
initrd="/boot/initramfs-5.14.0-503.el9.x86_64.img"
title="Rocky Linux (5.14.0-503.el9.x86_64) 9.5 (Blue Onyx)"
id="0123-5.14.0-503.el9.x86_64"
index=1
kernel="/boot/vmlinuz-0-rescue-0123"
args="ro dyndbg=\\"file drivers/x.c +p\\" crashkernel=1G-4G:192M"
index=2
non linux entry
args="who knows"
"""


def test_what_grub_tells_the_kernels_of_this_host():
    assert of_grub(GRUB, KERNELS) == [
        Entry("vmlinuz-6.1.0-41-amd64", ("root=/dev/vda1", "ro", "console=ttyS0", "memmap=1G!4G", "quiet")),
        Entry("vmlinuz-6.12.57-amd64", ("root=/dev/vda1", "ro", "memmap=1G!4G")),
        Entry("vmlinuz-6.1.0-41-amd64", ("root=/dev/vda1", "ro", "single")),
    ]


def test_what_grubby_tells():
    found = of_grubby(GRUBBY)
    assert [entry.kernel for entry in found] == ["vmlinuz-5.14.0-503.el9.x86_64", "vmlinuz-0-rescue-0123"]
    assert found[0].words[2] == "memmap=1G!4G"
    assert found[1].words[1].startswith("dyndbg=")


@pytest.mark.parametrize("text", ["", "garbage", 'kernel="/boot/vmlinuz-1"', 'args="ro"', "kernel=\nargs=\n"])
def test_what_says_nothing(text):
    assert of_grub(text, KERNELS) == of_grubby(text) == []


def test_a_quotation_mark_alone():
    assert of_grubby("kernel=/boot/vmlinuz-1\nargs=\"ro it's\"\n") == [Entry("vmlinuz-1", ("ro", "it's"))]


def test_which_kernels_are_not_told():
    assert without(of_grub(GRUB, KERNELS), "memmap=1G!4G") == ["vmlinuz-6.1.0-41-amd64"]
    assert without(of_grub(GRUB, KERNELS), "memmap=2G!4G") == KERNELS
    assert without(of_grubby(GRUBBY), "memmap=1G!4G") == ["vmlinuz-0-rescue-0123"]
