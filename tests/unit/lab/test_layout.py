"""The lab's layout: hosts, update domains and guests from sizes."""

import ipaddress
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "lab"))

from vmplab import base_image, guests, host_devices, layout, releases  # noqa: E402
from vmplab.errors import LabError  # noqa: E402
from vmplab.releases import RELEASES  # noqa: E402
from vmplab.settings import Settings, Sizes  # noqa: E402

SETTINGS = Settings(Path("/var/lib/lab"), Path("/var/cache/lab"), "vmplab0", ipaddress.IPv4Network("10.213.77.0/24"))


def sizes(hosts=4, domains=2, guests=3):
    return Sizes(hosts, domains, guests, 128)


def hosts_of(made, releases=("bookworm",)):
    return layout.hosts(SETTINGS, made, list(releases), "container")


@pytest.mark.parametrize(
    ("hosts", "domains", "expected"),
    [
        (4, 2, ["0", "0", "1", "1"]),
        (1, 1, ["0"]),
        (3, 3, ["0", "1", "2"]),
        (5, 2, ["0", "0", "0", "1", "1"]),
        (6, 3, ["0", "0", "1", "1", "2", "2"]),
    ],
)
def test_hosts_fill_the_update_domains_evenly_and_in_order(hosts, domains, expected):
    assert [host["update_domain"] for host in hosts_of(sizes(hosts, domains))] == expected


def test_hosts_have_names_and_addresses():
    hosts = hosts_of(sizes())
    first, last = hosts[0], hosts[-1]
    assert (first["name"], first["address"]) == ("h1", "10.213.77.11")
    assert (last["name"], last["address"]) == ("h4", "10.213.77.14")


def test_the_hosts_of_a_mixed_fleet_take_the_releases_in_turn():
    found = [host["release"] for host in hosts_of(sizes(hosts=5), releases.names("trixie,bookworm"))]
    assert found == ["trixie", "bookworm", "trixie", "bookworm", "trixie"]


def test_a_machine_has_a_guest_whose_memory_can_stay_in_place_and_one_whose_memory_cannot():
    host, = layout.hosts(SETTINGS, sizes(1, 1, 2), ["trixie"], "machine")
    assert (host["kind"], [guest["kind"] for guest in host["guests"]]) == ("machine", ["shared", "normal"])
    assert {host["kind"] for host in hosts_of(sizes())} == {"container"}


@pytest.mark.parametrize("text", ["jessie", "bookworm,jessie", "jessie,trixie"])
def test_a_release_that_has_no_row_is_refused(text):
    with pytest.raises(LabError, match="'jessie' is none of the releases that the lab knows: bookworm, trixie, forky"):
        releases.names(text)


def test_more_update_domains_than_hosts_are_refused():
    with pytest.raises(LabError, match="2 hosts cannot fill 3 update domains"):
        hosts_of(sizes(hosts=2, domains=3))


def test_the_default_lab_has_every_kind_and_a_normal_guest_on_each_host():
    kinds = [{guest["kind"] for guest in host["guests"]} for host in hosts_of(sizes())]
    assert all("normal" in on_host for on_host in kinds)
    assert set().union(*kinds) == {"normal", "agentless", "transient", "owner-paused"}


@pytest.mark.parametrize("guests", [1, 2, 3, 7])
def test_each_host_has_as_many_guests_as_asked_and_more_are_normal(guests):
    for host in hosts_of(sizes(guests=guests)):
        assert len(host["guests"]) == guests
        assert {guest["kind"] for guest in host["guests"][3:]} <= {"normal"}


def test_added_guests_are_numbered_after_those_that_are_there():
    host = hosts_of(sizes(guests=2))[0]
    added = layout.more_guests(host, "minimal", 2, 128)
    assert [guest["name"] for guest in added] == ["h1-minimal-3", "h1-minimal-4"]
    assert [guest["address"] for guest in added] == [None, None]


def test_names_and_addresses_of_a_host_are_unique():
    host = hosts_of(sizes(guests=9))[2]
    for field in ("name", "address", "mac"):
        assert len({guest[field] for guest in host["guests"]}) == 9


@pytest.mark.parametrize(
    ("kind", "address", "interface"),
    [
        ("normal", "192.168.122.17", "<source network='default'/>"),
        ("macvtap", "192.168.123.17", "<source dev='lab-wire' mode='bridge'/>"),
        ("managed", "192.168.124.17", "<source network='managed'/>"),
        ("openvswitch", "192.168.125.17", "<source bridge='lab-switch'/>"),
    ],
)
def test_a_guest_has_an_address_of_the_network_of_its_kind(kind, address, interface):
    guest = layout.guest("h1", kind, 7, 128)
    assert guest["address"] == address
    assert interface in guests.definition(guest)


def test_only_a_leased_guest_has_a_disk():
    assert {kind for kind in layout.KINDS if "<disk" in guests.definition(layout.guest("h1", kind, 7, 128))} == {"leased"}


def test_only_a_guest_on_the_virtual_switch_makes_its_checksums_itself():
    written = {kind: guests.definition(layout.guest("h1", kind, 7, 128)) for kind in layout.KINDS}
    assert {kind for kind, text in written.items() if "<virtualport type='openvswitch'/>" in text} == {"openvswitch"}
    assert {kind for kind, text in written.items() if "<host csum='off'/>" in text} == {"openvswitch"}


def test_the_networks_are_those_that_the_host_makes():
    assert (host_devices.WIRE, host_devices.WIRE_ADDRESS) == (layout.WIRE, f"{layout.WIRE_PREFIX}.1/24")
    assert (host_devices.BRIDGE, host_devices.BRIDGE_ADDRESS) == (layout.BRIDGE, f"{layout.BRIDGE_PREFIX}.1/24")


BOOKWORM = {"libvirt": RELEASES["bookworm"].libvirt, "qemu": RELEASES["bookworm"].qemu}


@pytest.mark.parametrize("libvirt", ["9.0.0-4+deb12u2", "11.3.0-3~bpo12+1", "10:9.0-1", "9.10.0-1"])
def test_a_base_may_be_newer_than_the_table_says(libvirt, capsys):
    base_image.require_versions(f"libvirt {libvirt}\nqemu 1:7.2+dfsg-7", BOOKWORM, "base")
    assert f"the base has libvirt {libvirt}, qemu 1:7.2+dfsg-7" in capsys.readouterr().err


@pytest.mark.parametrize(("listed", "told"), [("libvirt 8.10.0-1\nqemu 1:7.2+dfsg-7", "libvirt 8.10.0-1"), ("qemu 1:7.2+dfsg-7", "libvirt not at all")])
def test_a_base_that_is_older_than_the_table_says_is_refused(listed, told):
    with pytest.raises(LabError, match=told):
        base_image.require_versions(listed, BOOKWORM, "base")


def test_a_guest_beyond_the_network_is_refused():
    with pytest.raises(LabError, match="no address left"):
        layout.guest("h1", "normal", layout.MAX_ADDRESSED_GUESTS + 1, 128)


def test_minimal_guests_may_be_more_than_the_network_has_addresses():
    assert layout.guest("h1", "minimal", 300, 128)["memory_mib"] == layout.MINIMAL_MEMORY_MIB
