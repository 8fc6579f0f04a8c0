# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that stays where it is while QEMU is replaced: shared files that keep a second name, and a new QEMU that is handed them.

QEMU's capability `x-ignore-shared` leaves memory that is a shared file out of a saved image. libvirt removes the guest's memory files
when the old QEMU ends, so each gets a second name (a hard link) before. The new QEMU is started with two more character devices, which it
opens before its memory: a monitor, and a file that is a pipe without a reader yet, so that it waits there. Meanwhile the memory files get
their new names; then the pipe is read, QEMU goes on, and the same capability is set at the monitor before libvirt has it load the image.

A pipe and no `wait=on`: when somebody saves and restores the guest later in the ordinary way, there is no pipe, and nothing waits.

Source: QEMU, qapi/migration.json (x-ignore-shared), softmmu/vl.c (character devices are made before memory backends).
"""
from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import threading
import time
import typing as t
import xml.etree.ElementTree as ET
from xml.dom import minidom

from ..._system.qmp import MonitorError, set_capability
from ..rules import plugged_backends

#: XML namespace of the additions to QEMU's command line (libvirt, drvqemu.html).
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
#: The ids of our character devices in the new QEMU begin with this.
_OURS = "vm-preserving-"
#: libvirt's own folder of a host's guests; ours in it belongs to the user that QEMU runs as, and no other user gets in.
_STATE = "/var/lib/libvirt/qemu"
#: Seconds for the new QEMU to take its memory up once it has come to our monitor.
TIMEOUT = 20.0
#: Seconds for it to come. The end of libvirt's restore ends the wait, too. Before it starts QEMU libvirt has the kernel take the guest's AppArmor profile,
#: about eight times. (Seen on a slow host: it came after 40 s.)
COMES = 600.0
#: Seconds between two looks whether it is there: this is inside the guest's pause.
LOOK = 0.002
#: The capability, by its name in QMP.
CAPABILITY = "x-ignore-shared"


def command_line(pid: int) -> list[str]:
    """The arguments of a process; empty when it has ended."""
    try:
        with open(f"/proc/{pid:d}/cmdline", "rb") as stream:
            return [word.decode("utf-8", "surrogateescape") for word in stream.read().split(b"\0")[:-1]]
    except OSError:
        return []


#: The words of QEMU's options that mean yes (qapi/opts-visitor.c, parse_type_bool).
_YES = ("on", "yes", "true", "y")


def _older_form(value: str) -> dict[str, t.Any]:
    """An object in QEMU's older form, `memory-backend-file,id=pc.ram,mem-path=/x,share=yes`, as the properties of the newer one (JSON).

    libvirt writes it for QEMU before 6.0, and people do in additions to the command line. A comma within a part is doubled; the first part needs no name.
    """
    found: dict[str, t.Any] = {}
    for number, part in enumerate(re.findall(r"(?:[^,]|,,)+", value)):
        name, equals, text = part.replace(",,", ",").partition("=")
        if not equals:
            name, text = ("qom-type", name) if not number else (name, "on")
        found[name] = text in _YES if name in ("share", "discard-data", "hugetlb", "prealloc") else text
    return found


def memory_backends(arguments: t.Sequence[str]) -> list[dict[str, t.Any]]:
    """The memory backends in QEMU's command line. Untrusted: anything else is no backend.

    :param arguments: The command line.
    """
    found: list[dict[str, t.Any]] = []
    for option, value in zip(arguments, arguments[1:]):
        if option not in ("-object", "--object"):
            continue
        if not value.startswith("{"):
            properties = _older_form(value)
        else:
            try:
                properties = json.loads(value)
            except (ValueError, RecursionError):
                continue
        if isinstance(properties, dict) and str(properties.get("qom-type", "")).startswith("memory-backend-"):
            found.append(properties)
    return found


def mapped_files(pid: int) -> dict[str, bool]:
    """The files that a process has mapped, and whether its writes go to the file (a shared mapping). Empty when it has ended.

    Source: proc(5), /proc/PID/maps: a file without a name ends with ` (deleted)`.
    """
    found: dict[str, bool] = {}
    try:
        with open(f"/proc/{pid:d}/maps", encoding="utf-8", errors="surrogateescape") as stream:
            for line in stream:
                words = line.rstrip("\n").split(maxsplit=5)
                if len(words) == 6 and words[5].startswith("/"):
                    found[words[5]] = found.get(words[5], True) and words[1][3] == "s"
    except OSError:
        return {}
    return found


def backends_of(pid: int, xml: ET.Element) -> list[dict[str, t.Any]]:
    """The memory backends that a QEMU has now, those that were plugged in while it ran included.

    :param xml: The live XML.
    """
    return plugged_backends(memory_backends(command_line(pid)), xml, mapped_files(pid))


def keep(backends: t.Sequence[t.Mapping[str, t.Any]], folder: str) -> None:
    """Give each memory file a second name, `folder/BACKEND`.

    :raises OSError: It cannot be done; the names made so far are gone again.
    """
    os.makedirs(folder, mode=0o700)
    try:
        for one in backends:
            path = str(one["mem-path"])
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise OSError(f"{path} is no regular file")
            os.link(path, os.path.join(folder, str(one["id"])), follow_symlinks=False)
    except OSError:
        forget(folder)
        raise


def forget(folder: str) -> None:
    """Remove the second names; the memory itself goes with the last QEMU that has it."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


class Meeting(t.NamedTuple):
    """Where we meet the new QEMU of a guest.

    :ivar monitor: The socket of our monitor.
    :ivar pipe: The pipe at which it waits.
    """

    monitor: str
    pipe: str


def meeting_of(uuid: str) -> Meeting:
    """Where we meet the new QEMU of a guest."""
    folder = os.path.join(_STATE, "vm-preserving")
    return Meeting(os.path.join(folder, f"{uuid}.sock"), os.path.join(folder, f"{uuid}.pipe"))


def arrange(uuid: str, uid: int, gid: int) -> Meeting:
    """Make the place where the new QEMU of a guest waits.

    :param uuid: The guest.
    :param uid: The user that its QEMU runs as.
    :param gid: The group that its QEMU runs as.
    :raises OSError: It cannot be made.
    """
    meeting = meeting_of(uuid)
    folder = os.path.dirname(meeting.monitor)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    os.chown(folder, uid, gid, follow_symlinks=False)
    leave(meeting)
    os.mkfifo(meeting.pipe, 0o600)
    os.chown(meeting.pipe, uid, gid, follow_symlinks=False)
    return meeting


def leave(meeting: Meeting) -> None:
    """Remove what was arranged: our monitor cannot be reached after that."""
    for path in meeting:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def additions(meeting: Meeting) -> tuple[str, ...]:
    """What is added to the command line of the new QEMU, so that it waits for its memory."""
    return (
        "-chardev", f"socket,id={_OURS}monitor,path={meeting.monitor},server=on,wait=off", "-mon", f"chardev={_OURS}monitor,mode=control",
        "-chardev", f"file,id={_OURS}pipe,path={meeting.pipe},append=on",
    )


def named(xml: ET.Element) -> tuple[str, ...]:
    """The files of ours that a QEMU makes or opens when it is started with a definition, whoever starts it: both, or none.

    :param xml: The definition.
    """
    meeting = meeting_of(xml.findtext("uuid", ""))
    words = {one.get("value") for one in xml.iterfind(f"{{{QEMU_NAMESPACE}}}commandline/{{{QEMU_NAMESPACE}}}arg")}
    return tuple(meeting) if words & set(additions(meeting)[1::2]) else ()


def with_handover(xml: str, meeting: Meeting | None) -> str:
    """The definition in an image, with the devices at which the new QEMU waits.

    :param xml: The definition.
    :param meeting: Where it waits; `None`: only remove what an earlier move added.
    """
    if meeting is None and _OURS not in xml:
        return xml
    # Not ElementTree: it would give the namespaces of others' metadata other prefixes.
    document = minidom.parseString(xml)
    root = document.documentElement
    commands = [child for child in root.childNodes if child.namespaceURI == QEMU_NAMESPACE and child.localName == "commandline"]
    words = [one.getAttribute("value") for command in commands for one in command.getElementsByTagNameNS(QEMU_NAMESPACE, "arg")]
    kept: list[str] = []
    for word in words:
        if f"id={_OURS}" in word or f"chardev={_OURS}" in word:
            kept.pop()  # its option; ours are always two
        else:
            kept.append(word)
    kept += additions(meeting) if meeting is not None else ()
    others = [child for command in commands for child in command.childNodes if child.nodeType == child.ELEMENT_NODE and child.localName != "arg"]
    for command in commands:
        root.removeChild(command)
    if kept or others:
        root.setAttribute("xmlns:qemu", QEMU_NAMESPACE)
        command = root.appendChild(document.createElement("qemu:commandline"))
        for word in kept:
            command.appendChild(document.createElement("qemu:arg")).setAttribute("value", word)
        for child in others:
            command.appendChild(child)
    return t.cast(str, root.toxml())


def _process_at(meeting: Meeting) -> int | None:
    """The process whose command line has our monitor."""
    for name in os.listdir("/proc"):
        if name.isdigit() and any(f"path={meeting.monitor}," in word for word in command_line(int(name))):
            return int(name)
    return None


def is_waiting(meeting: Meeting, old: int) -> bool:
    """Whether a new QEMU has come to the place where we meet it.

    :param old: The process of the guest's QEMU before, which has the place in its command line, too, when it came by it.
    """
    return os.path.exists(meeting.monitor) and _process_at(meeting) not in (None, old)


def _link(kept: str, path: str) -> None:
    """Give a memory file the name under which the new QEMU opens it.

    :raises OSError: It cannot be done, or something else has that name.
    """
    try:
        os.link(kept, path, follow_symlinks=False)
    except FileExistsError:
        # Our program died in the middle of a handover, and this is the rest of it.
        if not os.path.samefile(kept, path):
            raise


class Handover(threading.Thread):
    """Waits for the new QEMU, gives it the memory files, and lets it go on.

    :param meeting: Where it waits.
    :param kept: The folder of the second names.
    :ivar problem: What went wrong, once it has ended; `None`: nothing.
    """

    def __init__(self, meeting: Meeting, kept: str) -> None:
        super().__init__(daemon=True)
        self.meeting = meeting
        self.kept = kept
        self.problem: str | None = None
        self._over = threading.Event()

    def stop(self) -> None:
        """Wait no longer: no QEMU will come."""
        self._over.set()
        self.join(TIMEOUT)

    def run(self) -> None:
        """The thread."""
        try:
            self._hand_over()
        except (OSError, KeyError, MonitorError) as error:
            self.problem = str(error)

    def _hand_over(self) -> None:
        give_up = time.monotonic() + COMES
        while not os.path.exists(self.meeting.monitor):
            if self._over.wait(LOOK):
                return
            if time.monotonic() > give_up:
                raise MonitorError("no QEMU came to our monitor")
        give_up = time.monotonic() + TIMEOUT
        problem: Exception | None = None
        try:
            pid = _process_at(self.meeting)
            if pid is None:
                raise MonitorError("the QEMU at our monitor has gone")
            for one in memory_backends(command_line(pid)):
                _link(os.path.join(self.kept, str(one["id"])), str(one["mem-path"]))
        except (OSError, KeyError, MonitorError) as error:
            problem = error
        # Also after a failure it has to go on, for libvirt waits for it: without its memory it fails, and image and memory are still there.
        reader = os.open(self.meeting.pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            # Not without its memory: with x-ignore-shared set it would restore the device state over empty pages.
            problem = problem or self._set_capability(give_up)
            if problem is not None:
                # Until then it can still come to the pipe.
                self._over.wait(TIMEOUT)
                raise problem
        finally:
            os.close(reader)

    def _set_capability(self, give_up: float) -> Exception | None:
        """Its socket is there a moment before it listens. (Seen on a busy host: refused; then the pipe was never read, and it waited there for ever.)

        :returns: Why it could not be set.
        """
        while True:
            try:
                set_capability(self.meeting.monitor, CAPABILITY, TIMEOUT)
                return None
            except MonitorError as error:
                if self._over.wait(LOOK) or time.monotonic() > give_up:
                    return error
