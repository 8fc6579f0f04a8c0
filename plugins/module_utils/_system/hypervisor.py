# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libvirt adapter: connections and guests in our words. It holds no decisions."""
from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import typing as t
import xml.etree.ElementTree as ET

from .._core.calls import Call, call_with_timeout, run_lanes
from .._core.errors import GuestGone, LibvirtHangs, LibvirtUnreachable, MaintenanceError
from .._core.places import SESSION_URI
from .._core.policy import policy
from .._core.states import State
from .._core.throwaway import is_throwaway

try:
    import libvirt
except ImportError:  # the guard can still work through QEMU's monitor; a module says what to install
    libvirt = None

#: Seconds to wait for libvirt to accept a connection.
CONNECT_TIMEOUT = 10.0
#: libvirtd serves 5 requests at once on one connection (max_client_requests) and 20 for all (max_workers).
CALLS_PER_CONNECTION = 4
MAX_CONNECTIONS = 4
#: Guest agents asked at once. One that hangs occupies one of libvirtd's workers until its time-out, and others need some, too: the guard, for one, takes
#: a libvirtd without a free worker for hung.
AGENTS_AT_ONCE = 12

#: XML namespace of our LIVE metadata; also the key under which libvirt keeps it.
TOKEN_NAMESPACE = "urn:vm_preserving:maintenance:window"
_TOKEN_PREFIX = "vm_preserving"

#: How an image is written. Ordinary: as `save_image_format` of qemu.conf says, through a pipe. Sparse: each page has its place in the file, which QEMU
#: writes by itself (libvirt 11.2, QEMU 9.0).
ORDINARY, SPARSE = "ordinary", "sparse"
#: Where libvirt's system driver has its images of persistent guests, NAME.save (src/qemu/qemu_driver.c, qemuDomainManagedSavePath).
MANAGED_SAVES = "/var/lib/libvirt/qemu/save"

# virDomainJobOperation (libvirt-domain.h) to words.
_JOBS = {
    0: "unknown", 1: "start", 2: "save", 3: "restore", 4: "migration", 5: "migration", 6: "snapshot", 7: "snapshot revert",
    8: "dump", 9: "backup", 10: "snapshot delete",
}


def have_bindings() -> bool:
    """Whether this interpreter has libvirt's Python bindings."""
    return libvirt is not None


def _words(error: Exception) -> str:
    """libvirt's own message, on one line."""
    return " ".join(str(error).split())


class Guest:
    """A running guest on one connection.

    :ivar name: libvirt's name.
    :ivar uuid: libvirt's UUID.
    :ivar id: libvirt's id of this run.
    """

    def __init__(self, domain: t.Any) -> None:
        self._domain = domain
        self.name: str = domain.name()
        self.uuid: str = domain.UUIDString()
        self.id: int = domain.ID()

    def state(self) -> State:
        """The state now. Takes no job, so it answers while a job hangs.

        :raises GuestGone: libvirt does not know it any more.
        """
        try:
            return State.of(*self._domain.state(0))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                raise GuestGone(f"libvirt does not know guest {self.name!r} any more") from error
            raise

    def suspend(self) -> None:
        """Stop the vCPUs. On a guest that is paused already libvirt returns without a word."""
        self._domain.suspend()

    def resume(self) -> bool:
        """Let the vCPUs run. libvirt resumes *any* paused guest: whether it is ours has to be known before.

        :returns: `False` when it ran already.
        """
        try:
            self._domain.resume()
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID and self.state().executes:
                return False
            raise
        return True

    def token(self) -> str | None:
        """The window id in the LIVE metadata, or `None`. Takes no job."""
        try:
            text = self._domain.metadata(
                libvirt.VIR_DOMAIN_METADATA_ELEMENT, TOKEN_NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_LIVE
            )
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                return None
            raise
        try:
            return ET.fromstring(text).get("id")
        except ET.ParseError:
            return None

    def set_token(self, window_id: str) -> None:
        """Write the window id into the LIVE metadata: it outlives libvirtd, and is gone with this run of the guest.

        Never CONFIG metadata: that would come back after a destroy and a start.
        """
        self._domain.setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT, f'<window id="{window_id}"/>', _TOKEN_PREFIX, TOKEN_NAMESPACE,
            libvirt.VIR_DOMAIN_AFFECT_LIVE,
        )

    def clear_token(self) -> None:
        """Remove the window id; nothing happens when there is none."""
        if self.token() is not None:
            self._domain.setMetadata(
                libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, _TOKEN_PREFIX, TOKEN_NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_LIVE
            )

    def busy(self) -> bool:
        """Whether libvirtd is waiting for this guest's monitor or a job of it, so that a call that was given up can still be under way."""
        return self._domain.controlInfo(0)[0] != libvirt.VIR_DOMAIN_CONTROL_OK

    def save(self, path: str, image_format: str = ORDINARY) -> None:
        """Stop it, write its state to a file and end its QEMU. Returns when that is done; on an error the guest runs on.

        :param path: The file. libvirt makes it, and marks it as whole only when it is.
        :param image_format: `ORDINARY` or `SPARSE`.
        """
        if image_format == SPARSE:
            self._domain.saveParams({libvirt.VIR_DOMAIN_SAVE_PARAM_FILE: path, "image_format": SPARSE}, 0)
        else:
            self._domain.saveFlags(path, None, 0)

    def managed_save(self, image_format: str = ORDINARY) -> None:
        """The same into libvirt's own image of it, from which libvirt restores it at its next start, whoever starts it.

        libvirt has no way to ask for the format of that image: without a file, `virDomainSaveParams` forgets what it was asked for, and that it has locked
        the guest, which nobody gets at any more (seen with 11.3). So a sparse one is saved to the file at which every start looks.

        :param image_format: `ORDINARY` or `SPARSE`.
        """
        if image_format == SPARSE:
            self.save(self._managed_image, SPARSE)
            # Not to be told as saved when libvirt would not find it there.
            self._domain.managedSaveGetXMLDesc(0)
        else:
            self._domain.managedSave(0)

    @property
    def _managed_image(self) -> str:
        return os.path.join(MANAGED_SAVES, f"{self.name}.save")

    def has_managed_save(self) -> bool:
        """Whether libvirt has an image of it. libvirt removes that image when the guest was started from it."""
        # Of one that was saved to its place as a file libvirt knows as soon as it looks there: at the next start of either.
        return bool(self._domain.hasManagedSaveImage(0)) or os.path.exists(self._managed_image)

    def managed_save_xml(self) -> str:
        """The definition in libvirt's image of it, secrets included.

        :raises libvirt.libvirtError: There is no whole image.
        """
        return t.cast(str, self._domain.managedSaveGetXMLDesc(libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE))

    def set_managed_save_xml(self, xml: str) -> None:
        """Change the definition in libvirt's image of it; its state stays."""
        self._domain.managedSaveDefineXML(xml, 0)

    def start_from_managed_save(self) -> None:
        """Start it from libvirt's image of it, and in no other way.

        libvirt starts a guest afresh when the image is not whole: so see that it is just before (`managed_save_xml`).

        :raises libvirt.libvirtError: It could not be started from it; the image is still there.
        """
        self._domain.create()

    def managed_save_is_whole(self) -> bool:
        """Whether libvirt has finished its image of it.

        :raises libvirt.libvirtError: libvirt does not say.
        """
        return _is_whole(lambda: self._domain.managedSaveGetXMLDesc(0))

    def remove_managed_save(self) -> None:
        """Remove libvirt's image of it, which a guest that runs must not have: its next start would bring an old state back."""
        self._domain.managedSaveRemove(0)

    def shut_down(self) -> None:
        """Ask it to shut down: by its agent where it has one, and by ACPI where it has none or that does not take the order. It may do so late, or never.

        Source: libvirt, src/qemu/qemu_driver.c (qemuDomainShutdownFlags).
        """
        self._domain.shutdown()

    def start(self) -> None:
        """Start it from its definition; from its managed save where it has one, so see before that it has none."""
        self._domain.create()

    def destroy(self) -> None:
        """End its QEMU at once, whatever it does; nothing happens when that has ended."""
        try:
            self._domain.destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                raise

    def autostart(self) -> bool:
        """Whether libvirt starts it at boot. Transient guests are never."""
        return self.persistent() and bool(self._domain.autostart())

    def set_autostart(self, value: bool) -> None:
        """Let libvirt start it at boot, or not."""
        self._domain.setAutostart(int(value))

    def abort_job(self) -> None:
        """End the job that libvirt is doing on it; a guest that was being saved runs on."""
        self._domain.abortJob()

    def monitor(self, command: dict[str, t.Any]) -> t.Any:
        """Send a command to its QEMU through libvirt. libvirt marks the guest as tainted by that.

        :param command: A message of QMP.
        :returns: What QEMU returned.
        :raises MaintenanceError: code `monitor`: QEMU refused it.
        """
        import libvirt_qemu

        answer = json.loads(libvirt_qemu.qemuMonitorCommand(self._domain, json.dumps(command), 0))
        if "error" in answer:
            raise MaintenanceError(f"QEMU of guest {self.name!r} refused {command['execute']} ({answer['error'].get('desc')})", "monitor")
        return answer["return"]

    def persistent(self) -> bool:
        """Whether libvirt keeps its definition when it ends (otherwise it is transient)."""
        return bool(self._domain.isPersistent())

    def job(self) -> str | None:
        """The running domain job in words, or `None`."""
        stats = self._domain.jobStats()
        if stats.get("type", libvirt.VIR_DOMAIN_JOB_NONE) == libvirt.VIR_DOMAIN_JOB_NONE:
            return None
        return _JOBS.get(stats.get("operation", 0), "unknown")

    def xml(self) -> ET.Element:
        """The live XML. Takes a job since libvirt 11.0: never call it inside the pause window."""
        return ET.fromstring(self._domain.XMLDesc(0))

    def definition(self) -> str:
        """The XML of its next start, secrets included."""
        return t.cast(str, self._domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))

    def block_jobs(self, xml: ET.Element) -> tuple[str, ...]:
        """The target names of the disks that a block job works on."""
        targets = [target.get("dev", "") for target in xml.findall("devices/disk/target")]
        return tuple(target for target in targets if target and self._domain.blockJobInfo(target, 0))

    def memory(self) -> int:
        """Memory of the guest in bytes (its current balloon)."""
        return int(self._domain.info()[2]) * 1024

    def set_agent_timeout(self, seconds: int) -> None:
        """How long libvirt waits for each answer of the guest agent; its default is for ever."""
        self._domain.agentSetResponseTimeout(seconds, 0)

    def reset_agent_timeout(self) -> None:
        """Back to libvirt's default."""
        self._domain.agentSetResponseTimeout(libvirt.VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, 0)

    def clock(self) -> float:
        """The guest's wall clock in seconds since the epoch, from the agent.

        :raises MaintenanceError: code `agent`: the agent gave something that is no time.
        """
        got = self._domain.getTime(0)
        if not isinstance(got, dict) or not all(isinstance(got.get(key), int) for key in ("seconds", "nseconds")):
            raise MaintenanceError(f"the agent of guest {self.name!r} answered something that is no time", "agent")
        return got["seconds"] + got["nseconds"] / 1e9

    def system(self) -> dict[str, str]:
        """What the agent says of the guest's operating system, with the names of guest-get-osinfo: `id`, `name`, `kernel-release`, ...

        :returns: Strings of the guest, not to be trusted.
        :raises libvirt.libvirtError: The agent does not know that question (before QEMU 2.10), may not answer it, or is gone.
        """
        said = self._domain.guestInfo(libvirt.VIR_DOMAIN_GUEST_INFO_OS, 0)
        return {key[len("os."):]: value for key, value in said.items() if key.startswith("os.")}

    def set_clock(self, seconds: float) -> None:
        """Set the guest's wall clock through the agent.

        Always with the time: without one an agent on Linux reads the emulated RTC, whose resolution is one second, and one on Windows only asks the time
        service to do something later (w32tm /resync /nowait). libvirt also has QEMU forget the RTC interrupts that the guest missed, which
        would let the clock of an older Windows run ahead.

        :param seconds: Seconds since the epoch.
        """
        nanoseconds = int(round(seconds * 1e9))
        self._domain.setTime({"seconds": nanoseconds // 1_000_000_000, "nseconds": nanoseconds % 1_000_000_000}, 0)

    def agent_command(self, command: str, timeout: int) -> str:
        """Send one raw command to the guest agent.

        :param timeout: Seconds to wait for the answer. An agent that owes one from before is called first, which has the time-out of `set_agent_timeout`,
            or 5 seconds.
        :returns: The agent's answer, JSON, not to be trusted.
        """
        import libvirt_qemu

        return libvirt_qemu.qemuAgentCommand(self._domain, command, timeout, 0)


def _is_whole(read: t.Callable[[], t.Any]) -> bool:
    """Whether libvirt can read an image: it says `VIR_ERR_OPERATION_FAILED` of one that is cut short, or marked as not finished.

    Source: libvirt, src/qemu/qemu_saveimage.c (qemuSaveImageOpen).
    """
    try:
        read()
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_FAILED:
            return False
        raise
    return True


def opted_out(xml: ET.Element) -> bool:
    """Whether a guest's metadata says that it must not be paused: `<policy xmlns="urn:vm_preserving:maintenance:policy" pause="never"/>`.

    :param xml: The live XML.
    """
    return policy(xml).get("pause") == "never"


def _quiet(raw: t.Any) -> t.Any:
    """A connection whose end is not waited for: closing is a call to libvirtd, without a time-out like all the others."""
    over = sys.is_finalizing  # not by its module, which may be empty by then

    class Quiet(type(raw)):  # type: ignore[misc]
        def __del__(self) -> None:
            handle, self._o = getattr(self, "_o", None), None
            # At the end of the interpreter no thread starts any more, and up to Python 3.11 the wait for its start has no end (seen: a module that never
            # answered, because an exception had kept a connection). Then the kernel closes it.
            if handle is not None and not over():
                with contextlib.suppress(RuntimeError):
                    threading.Thread(target=libvirt.libvirtmod.virConnectClose, args=(handle,), daemon=True).start()

    raw.__class__ = Quiet
    return raw


#: By URI: the attempt to connect that has not come back. Another one would only be stuck beside it.
_opening: dict[str, Call[t.Any]] = {}


def _open(uri: str, timeout: float) -> t.Any:
    """Connect, or wait for the attempt that is still out.

    :raises TimeoutError: libvirt accepts and does not answer.
    """
    give_up = time.monotonic() + timeout
    earlier = _opening.get(uri)
    while earlier is not None and earlier.state == "running":
        if time.monotonic() > give_up:
            raise TimeoutError("no answer in time")
        time.sleep(0.01)
    call = Call(lambda: _quiet(libvirt.open(uri)))
    run_lanes([[call]], 1, max(0.05, give_up - time.monotonic()))
    if call.state == "running":
        _opening[uri] = call
    return call.result()


class Connection:
    """One connection to libvirt."""

    def __init__(self, uri: str, timeout: float = CONNECT_TIMEOUT) -> None:
        """Connect.

        :param uri: The libvirt URI.
        :param timeout: Seconds to wait: a hung daemon accepts and then says nothing.
        :raises LibvirtUnreachable: libvirt is missing, down, hung, or refuses us.
        """
        self.uri = uri
        if libvirt is None:
            raise LibvirtUnreachable(
                "the Python bindings of libvirt are not installed for this interpreter; no guest was touched. "
                "Install the distribution's python3-libvirt on the host"
            )
        # libvirt prints every error to stderr as well; an error is reported once, by whoever catches it.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        try:
            self._raw = _open(uri, timeout)
        except TimeoutError as error:
            raise LibvirtHangs(
                f"libvirt at {uri} accepts connections but did not answer within {timeout:g} s; see on the host what blocks it "
                "(systemctl status libvirtd, journalctl -u libvirtd) and run again"
            ) from error
        except libvirt.libvirtError as error:
            if error.get_error_code() in (libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_ERR_AUTH_UNAVAILABLE, libvirt.VIR_ERR_AUTH_CANCELLED):
                advice = f"uid {os.geteuid()} has no right to manage guests; run as root (become: true)"
            elif uri == SESSION_URI:
                # become without a login shell keeps the folders of the user that logged in.
                advice = (
                    f"the task runs as uid {os.geteuid()} with XDG_RUNTIME_DIR={os.environ.get('XDG_RUNTIME_DIR', '')!r}; give it the session of that "
                    "user (log in as that user, or become_flags: -l) and run again"
                )
            else:
                advice = "see on the host why (systemctl status libvirtd), start it and run again"
            raise LibvirtUnreachable(f"libvirt at {uri} cannot be reached ({_words(error)}); {advice}") from error

    def answer(self) -> None:
        """Ask for something that needs one of libvirtd's ordinary workers, and no guest: the number of the host's CPUs.

        Connecting and finding guests have workers of their own, so they go on when all others are stuck (`@priority: high`, src/remote/remote_protocol.x).
        It returns when libvirtd has one to spare.
        """
        self._raw.getCPUMap(0)

    def _domains(self, which: int) -> list[t.Any]:
        try:
            return t.cast("list[t.Any]", call_with_timeout(lambda: self._raw.listAllDomains(which), CONNECT_TIMEOUT))
        except TimeoutError as error:
            raise LibvirtHangs(
                f"libvirt at {self.uri} did not list its guests within {CONNECT_TIMEOUT:g} s; no guest was touched. See on the host what blocks it "
                "(systemctl status libvirtd, journalctl -u libvirtd) and run again"
            ) from error

    def _active(self) -> list[Guest]:
        found = [Guest(domain) for domain in self._domains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)]
        # -1: it ended between the listing and here
        return sorted((guest for guest in found if guest.id >= 0), key=lambda guest: guest.name)

    def running(self) -> list[Guest]:
        """All active guests, paused ones included, by name. (libvirt's word for them is "running domains".) Those that are thrown away do not count.

        :raises LibvirtHangs: libvirt does not answer.
        """
        return [guest for guest in self._active() if not is_throwaway(guest.name, guest.uuid)]

    def throwaways(self) -> list[Guest]:
        """The throw-away guests that are there.

        :raises LibvirtHangs: libvirt does not answer.
        """
        return [guest for guest in self._active() if is_throwaway(guest.name, guest.uuid)]

    def start_throwaway(self, xml: str) -> Guest:
        """Start a transient guest, paused, so that it executes nothing. libvirt ends it with this connection, or with its first save.

        :param xml: Its definition.
        """
        return Guest(self._raw.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY))

    def inactive_names(self) -> list[tuple[str, str]]:
        """Name and UUID of every defined guest that is not active.

        :raises LibvirtHangs: libvirt does not answer.
        """
        return [(domain.name(), domain.UUIDString()) for domain in self._domains(libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE)]

    def defined(self) -> list[Guest]:
        """All guests that libvirt keeps a definition of, running or not, by name. Those that do not run have the id -1.

        :raises LibvirtHangs: libvirt does not answer.
        """
        return sorted((Guest(domain) for domain in self._domains(libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT)), key=lambda guest: guest.name)

    def define(self, xml: str) -> None:
        """Keep a definition, which counts from the guest's next start. What runs is not touched.

        :param xml: The definition. libvirt holds it against its schema.
        """
        self._raw.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)

    def can_save_sparse(self, qemu: tuple[int, ...] | None) -> bool:
        """Whether an image can be sparse: libvirt from 11.2, a QEMU from 9.0 (mapped-ram) on, and bindings that can ask for it (8.4).

        :param qemu: The version of the guest's running QEMU; `None` when not known.
        """
        return qemu is not None and qemu >= (9,) and self.version() >= 11_002_000 and hasattr(libvirt, "VIR_DOMAIN_SAVE_PARAM_FILE")

    def version(self) -> int:
        """The version of libvirt that answers: 11.3.0 is 11_003_000."""
        return int(self._raw.getLibVersion())

    def restore(self, path: str, xml: str | None) -> None:
        """Restore the guest of an image, paused: whoever resumes it knows from when on the image is an older state. The image stays.

        :param path: The image.
        :param xml: What to start it with instead of the definition in the image.
        """
        self._raw.restoreFlags(path, xml, libvirt.VIR_DOMAIN_SAVE_PAUSED)

    def image_xml(self, path: str) -> str:
        """The definition in an image, secrets included."""
        return t.cast(str, self._raw.saveImageGetXMLDesc(path, libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE))

    def image_is_whole(self, path: str) -> bool:
        """Whether libvirt has finished an image.

        :param path: The image.
        :raises libvirt.libvirtError: libvirt does not say.
        """
        return _is_whole(lambda: self._raw.saveImageGetXMLDesc(path, 0))

    def check_machine(self, emulator: str, xml: ET.Element) -> None:
        """See that libvirt understands the QEMU that is installed now, and that this QEMU knows the guest's machine.

        :param xml: The guest's live XML.
        :raises libvirt.libvirtError: One of them does not.
        """
        kind = xml.find("os/type")
        self._raw.getDomainCapabilities(emulator, None if kind is None else kind.get("arch"), None if kind is None else kind.get("machine"), xml.get("type"), 0)

    def cpu_lacks(self, emulator: str, xml: ET.Element) -> str | None:
        """What an emulator on this host cannot give to the CPU of a guest, in libvirt's words; `None`: nothing, or libvirt cannot compare.

        It compares the CPUs that it has the parts of: those of x86, and of s390. The host's own CPU (`host-passthrough`) has no parts there.

        :param xml: The guest's live XML.
        """
        cpu, kind = xml.find("cpu"), xml.find("os/type")
        if cpu is None or cpu.find("model") is None or kind is None:
            return None
        try:
            self._raw.compareHypervisorCPU(
                emulator, kind.get("arch"), kind.get("machine"), xml.get("type"), ET.tostring(cpu, encoding="unicode"),
                libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE,
            )
        except libvirt.libvirtError as error:
            return _words(error) if error.get_error_code() == libvirt.VIR_ERR_CPU_INCOMPATIBLE else None
        return None

    def guest(self, uuid: str) -> Guest:
        """One guest by its UUID.

        :raises GuestGone: libvirt does not know it.
        """
        try:
            return Guest(self._raw.lookupByUUIDString(uuid))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                raise GuestGone(f"libvirt does not know a guest with UUID {uuid}") from error
            raise


class Lanes:
    """The same call for many guests at once, over several connections, each guest's handle ready beforehand."""

    def __init__(
        self, uri: str, uuids: t.Sequence[str], timeout: float = CONNECT_TIMEOUT, at_once: int = MAX_CONNECTIONS * CALLS_PER_CONNECTION,
    ) -> None:
        """Open the connections and look every guest up.

        :param uri: The libvirt URI.
        :param uuids: The guests.
        :param timeout: Seconds for each connection, and for all lookups together.
        :param at_once: How many calls may be in flight, a multiple of `CALLS_PER_CONNECTION`.
        :raises LibvirtUnreachable: libvirt did not answer about any guest.
        """
        count = max(1, -(-min(at_once, len(uuids)) // CALLS_PER_CONNECTION))
        connections = [Connection(uri, timeout) for _number in range(count)]
        self._lane = {uuid: number % count for number, uuid in enumerate(uuids)}
        self._count = count
        #: The guests that libvirt found.
        self.guests: dict[str, Guest] = {}
        #: Why libvirt did not say whether it has a guest: one that is stuck must not keep the others waiting.
        self.silent: dict[str, str] = {}
        lookups = {uuid: Call(lambda lane=lane, uuid=uuid: connections[lane].guest(uuid)) for uuid, lane in self._lane.items()}
        self._run(lookups, timeout)
        for uuid, call in lookups.items():
            try:
                self.guests[uuid] = call.result()
            except GuestGone:
                continue
            except TimeoutError:
                self.silent[uuid] = f"no answer within {timeout:g} s"
            except libvirt.libvirtError as error:
                self.silent[uuid] = _words(error)
        if self.silent and len(self.silent) == len(lookups):
            if all(call.state != "failed" for call in lookups.values()):
                raise LibvirtHangs(f"libvirt at {uri} did not answer within {timeout:g} s")
            raise LibvirtUnreachable(f"libvirt at {uri} answers with an error ({'; '.join(sorted(set(self.silent.values())))})")

    def _run(self, calls: dict[str, Call[t.Any]], timeout: float) -> None:
        lanes: list[list[Call[t.Any]]] = [[] for _number in range(self._count)]
        for uuid, call in calls.items():
            lanes[self._lane[uuid]].append(call)
        run_lanes(lanes, CALLS_PER_CONNECTION, timeout)

    def each(self, uuids: t.Iterable[str], function: t.Callable[[Guest], t.Any], timeout: float) -> dict[str, Call[t.Any]]:
        """Call `function` with each known guest, in parallel.

        :param uuids: Which guests, in the order in which they are started. Unknown ones are left out of the result.
        :param timeout: Seconds for all of them; a call that is not back by then is in the state `running`.
        :returns: The call of each guest by its UUID.
        """
        calls = {
            uuid: Call(lambda guest=self.guests[uuid]: function(guest)) for uuid in uuids if uuid in self.guests
        }
        self._run(calls, timeout)
        return calls


def describe(error: BaseException) -> str:
    """An error of a call for an operator: libvirt's own words on one line."""
    return _words(t.cast(Exception, error))


def agent_silent(error: BaseException) -> bool:
    """Whether an error says that the agent gave no answer at all, so that the next question would only be waited for as long again."""
    return isinstance(error, libvirt.libvirtError) and error.get_error_code() == libvirt.VIR_ERR_AGENT_UNRESPONSIVE


def unsupported(error: BaseException) -> bool:
    """Whether an error says that libvirt cannot do for this guest what it was asked for; then it has not begun with it."""
    return isinstance(error, libvirt.libvirtError) and error.get_error_code() in (
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
    )


def daemon_said(error: BaseException) -> bool:
    """Whether an error is libvirtd's own answer, and not the loss of it: only then is what was asked for known not to go on."""
    return not isinstance(error, libvirt.libvirtError) or error.get_error_domain() not in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE)


def libvirt_refused(error: BaseException) -> bool:
    """Whether libvirt itself answered that what it was asked for cannot be done."""
    return libvirt is not None and isinstance(error, libvirt.libvirtError) and daemon_said(error)
