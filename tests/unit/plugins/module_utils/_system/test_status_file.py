# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/status_file: libvirt's own record of a running guest, believed only when it is about a process that runs."""
from __future__ import annotations

import os
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.qemu_conf import LockManager
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.status_file import guest_process

UUID = "11111111-1111-4111-8111-111111111111"
STATUS = """<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST.
-->
<domstatus state='running' reason='booted' pid='{pid}'>
  <taint flag='high-privileges'/>
  <monitor path='/var/lib/libvirt/qemu/domain-1-g1/monitor.sock' type='unix'/>
  <vcpus><vcpu id='0' pid='99'/></vcpus>
  <job type='none' async='none'/>
  {more}
  <devices><device alias='serial0'/></devices>
  <domain type='kvm' id='1'>
    <name>g1</name>
    <uuid>{uuid}</uuid>
    <metadata><monitor path='/tmp/forged' xmlns='urn:x'/><x:fakereboot xmlns:x='urn:x'/></metadata>
  </domain>
</domstatus>
"""


def write(where, text, name="g1"):
    with open(os.path.join(where.runtime, name + ".xml"), "wb") as stream:
        stream.write(text if isinstance(text, bytes) else text.encode("utf-8"))


def status(pid=None, uuid=UUID, more=""):
    return STATUS.format(pid=os.getpid() if pid is None else pid, uuid=uuid, more=more)


def test_a_running_guest(where):
    write(where, status())
    found = guest_process(where, "g1", UUID)
    assert found.process == identity.process_identity(os.getpid())
    assert found.monitor == "/var/lib/libvirt/qemu/domain-1-g1/monitor.sock"
    assert found.fake_reboot is False


def test_the_fake_reboot_mark(where):
    write(where, status(more="<fakereboot/>"))
    assert guest_process(where, "g1", UUID).fake_reboot is True


def test_without_a_monitor_the_path_is_empty(where):
    write(where, status().replace("  <monitor path='/var/lib/libvirt/qemu/domain-1-g1/monitor.sock' type='unix'/>\n", ""))
    assert guest_process(where, "g1", UUID).monitor == ""


@pytest.mark.parametrize("name", ["a b", "ü-\u2603", "..", "a\nb", "-rf", "g1.xml"])
def test_odd_names(where, name):
    write(where, status(), name)
    assert guest_process(where, name, UUID) is not None


@pytest.mark.parametrize("text", [
    "", "no xml", "<domstatus", "<domstatus pid='1'/>", "<other/>", status().replace("domstatus", "domain"), status(uuid=UUID.replace("1", "2")),
    status(uuid=""), status(pid=""), status(pid="0"), status(pid="-1"), status(pid="1e3"), status(pid=10**18), status(pid="9" * 300),
    status().replace(" pid='", " qid='"), status()[:-30], b"\xff\xfe" + status().encode(), b"\0" * 100,
    '<?xml version="1.0" encoding="nope"?>' + status().partition("-->")[2].strip(), b'<?xml version="1.0" encoding="utf-7"?><domstatus/>',
])
def test_a_file_that_cannot_be_used(where, text):
    write(where, text)
    assert guest_process(where, "g1", UUID) is None


def test_no_file_and_no_folder(where):
    assert guest_process(where, "g1", UUID) is None
    os.rmdir(where.runtime)
    assert guest_process(where, "g1", UUID) is None


def test_a_name_does_not_lead_out_of_the_folder(where, tmp_path):
    (tmp_path / "outside.xml").write_text(status())
    assert guest_process(where, "../outside", UUID) is None


def test_a_process_that_has_ended(where, start):
    child = start([sys.executable, "-c", ""])
    write(where, status(pid=child.pid))
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert guest_process(where, "g1", UUID) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(text=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"<domstatus pid='{text}'>".encode("utf-8", "replace")))
def test_arbitrary_bytes_are_no_guest(where, text):
    write(where, text)
    assert guest_process(where, "g1", UUID) is None


# ---- its agent, and what a suspend takes from it ----

def channel(name="org.qemu.guest_agent.0", state="connected", path="/run/libvirt/qemu/channel/1-g1/agent.0"):
    where = f"<source mode='bind' path='{path}'/>" if path is not None else ""
    return f"<channel type='unix'>{where}<target type='virtio' name='{name}' state='{state}'/></channel>"


def with_devices(devices, domain="<name>g1</name>"):
    return status().replace("<name>g1</name>", f"{domain}<devices>{devices}</devices>")


@pytest.mark.parametrize(("devices", "path"), [
    (channel(), "/run/libvirt/qemu/channel/1-g1/agent.0"),
    (channel("com.redhat.spice.0") + channel(path="/a"), "/a"),
    (channel(state="disconnected"), ""), (channel("other"), ""), (channel(path=None), ""), (channel(path=""), ""), ("", ""),
    ("<channel type='unix'/>", ""), ("<channel type='unix'><target type='virtio'/></channel>", ""),
    (f"<console>{channel()}</console>", ""),
])
def test_the_agents_socket_is_known_while_an_agent_is_connected(where, devices, path):
    write(where, with_devices(devices))
    assert guest_process(where, "g1", UUID).agent == path


def test_a_forged_agent_in_the_metadata_is_none(where):
    write(where, status().replace("<metadata>", f"<metadata><devices>{channel()}</devices>"))
    assert guest_process(where, "g1", UUID).agent == ""


MACVTAP = (
    "<interface type='direct'><mac address='52:54:00:00:00:01'/><source dev='eth1' mode='passthrough'/><target dev='macvtap0'/></interface>"
)
DISK = "<disk type='file'><source file='/images/1.img'/></disk>"


def test_what_a_suspend_takes_is_known(where):
    write(where, with_devices(MACVTAP + DISK))
    taken = guest_process(where, "g1", UUID).taken
    assert taken.devices_to_set_up == ["eth1", "macvtap0"] and taken.leases == ()
    assert guest_process(where, "g1", UUID, LockManager("lockd", True)).taken.leases == ("/images/1.img",)
    assert guest_process(where, "g1", UUID, LockManager("lockd", False)).taken.leases == ()


def test_what_cannot_be_read_of_the_devices_is_not_taken_for_nothing(where):
    write(where, with_devices(MACVTAP.replace("<target dev='macvtap0'/>", "")))
    found = guest_process(where, "g1", UUID)
    assert found.taken is None and found.process == identity.process_identity(os.getpid())
