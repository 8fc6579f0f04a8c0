# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/guest_info: what a guest's XML and its agent say; neither is to be trusted."""
from __future__ import annotations

import base64
import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_info import agent_state, parse_boot_id, parse_system

BOOT_ID = "0f8b3c4e-52d1-4c6b-9a53-0d1e2f3a4b5c"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["return", "buf-b64", "id"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["return", "buf-b64", "id", "x"]), inner, max_size=3), max_leaves=8,
)


def channel(name, state=None):
    attribute = "" if state is None else f" state='{state}'"
    return f"<channel type='unix'><target type='virtio' name='{name}'{attribute}/></channel>"


@pytest.mark.parametrize(("devices", "expected"), [
    ("", "absent"),
    (channel("org.qemu.guest_agent.0", "connected"), "connected"),
    (channel("org.qemu.guest_agent.0", "disconnected"), "disconnected"),
    (channel("org.qemu.guest_agent.0"), "disconnected"),
    (channel("org.qemu.guest_agent.0", ""), "disconnected"),
    (channel("org.qemu.guest_agent.0", "Connected"), "disconnected"),
    (channel("com.redhat.spice.0", "connected"), "absent"),
    (channel("com.redhat.spice.0", "disconnected") + channel("org.qemu.guest_agent.0", "connected"), "connected"),
    ("<channel type='unix'/>", "absent"),
    ("<channel type='unix'><target type='virtio'/></channel>", "absent"),
    ("<console><target name='org.qemu.guest_agent.0' state='connected'/></console>", "absent"),
])
def test_agent_state(devices, expected):
    assert agent_state(ET.fromstring(f"<domain><devices>{devices}</devices></domain>")) == expected


def test_a_guest_without_devices_or_with_forged_metadata_has_no_agent():
    assert agent_state(ET.fromstring("<domain/>")) == "absent"
    forged = channel("org.qemu.guest_agent.0", "connected")
    assert agent_state(ET.fromstring(f"<domain><metadata><devices>{forged}</devices></metadata></domain>")) == "absent"


def answer(content):
    return json.dumps({"return": {"count": len(content), "buf-b64": base64.b64encode(content).decode("ascii"), "eof": True}})


@given(st.uuids().map(str))
def test_a_boot_id_is_read(boot_id):
    assert parse_boot_id(answer(boot_id.encode() + b"\n")) == boot_id
    assert parse_boot_id(answer(boot_id.encode())) == boot_id


@pytest.mark.parametrize("text", [
    "", "null", "[]", "5", "{}", '{"return": {}}', '{"return": null}', '{"return": []}', '{"return": {"buf-b64": null}}', '{"return": {"buf-b64": 5}}',
    '{"return": {"buf-b64": {}}}', '{"return": {"buf-b64": "*"}}', '{"return": {"buf-b64": "\u00e4"}}', '{"return": {"buf-b64": "YQ"}}',
    '{"error": {"class": "GenericError"}}', answer(b""), answer(b"\xff" * 36), answer(b"0" * 36), answer(BOOT_ID.upper().encode()),
    answer(BOOT_ID.encode() * 2), answer(BOOT_ID.encode()[:-1]), answer(BOOT_ID.encode() + b"\n" + BOOT_ID.encode()),
    answer(BOOT_ID.encode() + b"\0"), answer(BOOT_ID.encode())[:-1], "9" * 10_000,
    answer(BOOT_ID.encode()).replace('"buf-b64": "', '"buf-b64": "*'),
])
def test_what_is_no_boot_id(text):
    assert parse_boot_id(text) is None


def test_json_nested_without_end_is_no_boot_id():
    assert parse_boot_id("[" * 200_000) is None


@given(st.text() | JSON.map(json.dumps) | st.binary(max_size=60).map(answer))
def test_whatever_the_agent_says_it_is_a_boot_id_or_nothing(text):
    found = parse_boot_id(text)
    assert found is None or len(found) == 36


# ---- the operating system ----

@pytest.mark.parametrize(("text", "expected"), [
    ('{"return": {"id": "mswindows", "name": "Microsoft Windows"}}', "mswindows"),
    ('{"return": {"id": "opensuse-leap"}}', "opensuse-leap"),
    ('{"return": {"kernel-release": "6.12"}}', None), ('{"return": {"id": ""}}', None), ('{"return": {"id": "MSWindows"}}', None),
    ('{"return": {"id": "a b"}}', None), ('{"return": {"id": "debian\\n"}}', None), ('{"return": {"id": "' + "a" * 65 + '"}}', None),
    ('{"return": {"id": 5}}', None), ('{"return": {"id": null}}', None), ('{"return": "id"}', None), ('{"return": null}', None), ('{"error": {}}', None),
    ("[]", None), ("", None), ("[" * 200_000, None),
])
def test_the_operating_system_is_what_the_agent_calls_it(text, expected):
    assert parse_system(text) == expected


@given(st.text() | JSON.map(json.dumps))
def test_whatever_the_agent_says_it_is_a_short_word_or_nothing(text):
    found = parse_system(text)
    assert found is None or 0 < len(found) <= 64
