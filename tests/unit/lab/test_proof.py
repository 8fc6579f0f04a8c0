"""What the demonstration says of guests' networks."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "lab"))

from vmplab.proof import events_table, lost_packets, network_table, what_was_seen  # noqa: E402


def ping(*answered):
    lines = [f"64 bytes from 192.168.125.1: seq={number} ttl=64 time=1.146 ms" for number in answered]
    return "\n".join(["PING 192.168.125.1 (192.168.125.1): 56 data bytes", *lines, "", "20 packets transmitted, 9 packets received, 55% packet loss"])


@pytest.mark.parametrize(
    ("answered", "sent", "lost", "outage"),
    [
        ((0, 1, 2, 3), 4, 0, 0.0),
        ((0, 1, 4, 5, 7), 8, 3, 1.0),
        ((3, 4), 5, 3, 1.5),
        ((0, 2, 1, 1, 3), 4, 0, 0.0),
        ((), 0, 0, None),
    ],
)
def test_a_packet_is_lost_when_a_later_one_was_answered(answered, sent, lost, outage):
    assert lost_packets(ping(*answered), 0.5) == {"sent": sent, "lost": lost, "outage": outage}


def host(**paused_for):
    return {"host": "h1", "guests": [{"name": name, "paused_for": seconds} for name, seconds in paused_for.items()]}


@pytest.mark.parametrize(
    ("paused_for", "answered", "sound"),
    [
        (1.5, range(9), True),
        # What was on its way when the guest was stopped.
        (1.5, [0, 2, 3], True),
        (1.5, [0, 3, 4], False),
        (None, [0, 5, 6], True),
        (1.5, [], False),
        (None, [], False),
    ],
)
def test_a_guest_that_was_paused_has_lost_nothing_while_it_ran(paused_for, answered, sound):
    assert network_table([host(a=paused_for)], {"a": lost_packets(ping(*answered), 0.05)})[1] is sound


def test_the_table_has_those_whose_network_was_watched():
    text, _sound = network_table([host(a=1.5, b=1.5, c=None)], {"a": lost_packets(ping(*range(9)), 0.05), "c": lost_packets(ping(0, 15), 0.05)})
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()[2:]]
    assert rows == [["h1", "a", "1.50 s", "9", "0", "none"], ["h1", "c", "not paused", "16", "14", "0.70 s"]]


def test_who_was_told():
    event = {"name": "a", "notice": 30, "given": 12.3, "duration": 5, "approved_by": "b"}
    assert events_table([{"host": "h1", "events": [event, {**event, "approved_by": None}]}, {"host": "h2", "events": []}]).splitlines()[2:] == [
        "h1    a      30 s             12 s          5 s           b", "h1    a      30 s             12 s          5 s",
    ]


def test_what_a_guest_saw():
    event = ('{"EventId": "C7061BAC-AFDC", "EventStatus": "%s", "EventType": "Freeze", "Resources": ["web_0"], "DurationInSeconds": 5, '
             '"NotBefore": "%s"}')
    lines = [
        '10:00:00 {"Events": []}', '10:00:01 {"Events": [' + event % ("Scheduled", "Sat, 11 Apr 2026 22:26:58 GMT") + "]}",
        "10:00:01 approved C7061BAC-AFDC", '10:00:09 {"Events": [' + event % ("Started", "") + "]}",
    ]
    assert what_was_seen("\n".join(lines)) == [
        "10:00:00 no event", "10:00:01 Scheduled C7061BAC Freeze of web_0 (5 s), not before 22:26:58", "10:00:01 approved C7061BAC",
        "10:00:09 Started C7061BAC Freeze of web_0 (5 s)",
    ]
