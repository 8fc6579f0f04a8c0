# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_metadata/addresses: the rules that keep the address between a host and its guests, as nft takes them."""
from __future__ import annotations

import shutil
import subprocess

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.addresses import TABLE, Bridge, needs_rules, no_rules, rules

MACS = (("vnet0", "52:54:00:00:01:00"), ("vnet1", "52:54:00:00:01:01"))
NAT = Bridge("virbr0", "52:54:00:00:00:01", ("vnet0", "vnet1"), (), MACS)
LAN = Bridge("br0", "52:54:00:00:00:02", ("vnet2",), ("eno1", "veth7"))


def test_only_where_others_are_rules_are_needed():
    assert needs_rules(LAN) and not needs_rules(NAT)


def test_what_guests_send_is_turned_to_their_own_bridge():
    text = rules([NAT, LAN], "169.254.169.254", 80)
    assert 'iifname { "vnet0", "vnet1" } ip daddr 169.254.169.254 tcp dport 80 ether daddr set 52:54:00:00:00:01 meta pkttype set host' in text
    assert 'iifname { "vnet2" } ip daddr 169.254.169.254 tcp dport 80 ether daddr set 52:54:00:00:00:02 meta pkttype set host' in text


def test_nothing_comes_from_a_guests_mac_address_but_by_its_port():
    text = rules([NAT, LAN._replace(macs=(("vnet2", "52:54:00:00:01:02"), ("vnet2", "rubbish } accept")))], "169.254.169.254", 80)
    assert (
        "ip daddr 169.254.169.254 ether saddr { 52:54:00:00:01:00, 52:54:00:00:01:01, 52:54:00:00:01:02 } "
        'iifname . ether saddr != { "vnet0" . 52:54:00:00:01:00, "vnet1" . 52:54:00:00:01:01, "vnet2" . 52:54:00:00:01:02 } drop'
    ) in text.splitlines() and "rubbish" not in text
    assert "iifname . " not in rules([LAN], "169.254.169.254", 80)


def test_nothing_comes_in_by_other_ports_and_nothing_goes_from_guest_to_guest():
    text = rules([NAT, LAN], "169.254.169.254", 80)
    for what in ("arp daddr ip", "ip daddr"):
        assert f'iifname {{ "eno1", "veth7" }} {what} 169.254.169.254 drop' in text
        assert f'iifname {{ "vnet0", "vnet1", "vnet2" }} {what} 169.254.169.254 drop' in text
    for what in ("arp saddr ip", "ip saddr"):
        assert f'oifname {{ "vnet0", "vnet1", "vnet2" }} {what} 169.254.169.254 drop' in text
    assert "chain input" not in rules([NAT], "169.254.169.254", 80)


@pytest.mark.parametrize("bridges", [[], [Bridge("br0", "52:54:00:00:00:02", (), ("eno1",))]])
def test_without_guests_there_are_none(bridges):
    assert rules(bridges, "169.254.169.254", 80) == no_rules()


@pytest.mark.skipif(shutil.which("nft") is None, reason="no nft here")
@pytest.mark.parametrize("bridges", [[], [NAT], [NAT, LAN]], ids=len)
def test_nft_takes_them(bridges):
    """Its own check of the script, which changes nothing."""
    done = subprocess.run(["nft", "--check", "--file", "-"], input=rules(bridges, "169.254.169.254", 80), text=True, capture_output=True, check=False)
    assert "syntax error" not in done.stderr and TABLE not in done.stderr.replace(f"table bridge {TABLE}", ""), done.stderr
