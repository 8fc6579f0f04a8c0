# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_pause/devices: giving back what libvirt took, with the host's own kernel where that changes nothing."""
from __future__ import annotations

import os
import threading

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import devices

NONE = "vmp-none0"
MAC = "52:54:00:12:34:56"


def test_a_guest_without_devices_has_everything(make_entry, monkeypatch):
    monkeypatch.setattr(devices, "call_with_timeout", lambda *_arguments: pytest.fail("the kernel was asked"))
    assert devices.give_back(make_entry()) == ""


def test_what_is_up_is_left_alone(make_entry):
    assert devices.give_back(make_entry(devices=["lo"])) == ""


def test_each_thing_that_cannot_be_given_back_is_told(make_entry):
    found = devices.give_back(make_entry(devices=[NONE, "lo", "a/b"], forwarding=[[NONE, MAC], ["lo", "no-mac"]]))
    words = found.split("; ")
    assert len(words) == 4, found
    assert words[0].startswith(f"its network device {NONE} could not be set up (") and os.strerror(19) in words[0]
    assert words[1].startswith("its network device a/b could not be set up (")
    assert words[2].startswith(f"its bridge has no entry for {MAC} at port {NONE} (")
    assert words[3] == "its bridge has no entry for no-mac at port lo ('no-mac' is no MAC address)"


@pytest.fixture
def kernel(monkeypatch):
    """A kernel of the test: what it was asked, and whether it answers."""
    class Kernel:
        asked = []
        answers = threading.Event()

        def set_up(self, device):
            self.answers.wait()
            self.asked.append(device)

        def add_forwarding_entry(self, port, mac):
            self.answers.wait()
            self.asked.append((port, mac))
    found = Kernel()
    found.asked, found.answers = [], threading.Event()
    monkeypatch.setattr(devices, "netdev", found)
    yield found
    found.answers.set()


def test_all_of_it_in_the_order_of_the_record(make_entry, kernel):
    kernel.answers.set()
    assert devices.give_back(make_entry(devices=["eth1", "macvtap0"], forwarding=[["vnet0", MAC], ["vnet1", MAC]])) == ""
    assert kernel.asked == ["eth1", "macvtap0", ("vnet0", MAC), ("vnet1", MAC)]


def test_a_kernel_that_does_not_answer_is_waited_for_once_and_not_for_each_device(make_entry, kernel, monkeypatch, until):
    """Found in review: two devices took longer than a libvirtd may be silent, and it was taken for one that hangs."""
    monkeypatch.setattr(devices, "KERNEL", 0.05)
    waits = []
    original = devices.call_with_timeout
    monkeypatch.setattr(devices, "call_with_timeout", lambda function, timeout: waits.append(timeout) or original(function, timeout))
    assert devices.give_back(make_entry(devices=["eth1", "macvtap0"], forwarding=[["vnet0", MAC]])) == devices.UNANSWERED
    assert waits == [0.05]
    kernel.answers.set()
    until(lambda: kernel.asked == ["eth1", "macvtap0", ("vnet0", MAC)], "it is done all the same")
