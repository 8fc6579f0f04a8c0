# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host, sent there as text (see host.py): each function takes and returns plain data."""

import glob
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request

import libvirt
import libvirt_qemu

FOLDER = "/run/vmp-chaos"
MONITORS = FOLDER + "/monitors"
PREFIX = "c4a05000-"
STATE = "/var/lib/vm_preserving/system"
DOMAINS = "/var/lib/libvirt/qemu/domain-*"
AWAY = ".away"
SOCKETS = ("libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket")
#: Seconds.
PATIENCE = 60

libvirt.registerErrorHandler(lambda _context, _error: None, None)


def prepare():
    """The folders that the monitors and the observer need."""
    os.makedirs(MONITORS, exist_ok=True)
    os.chmod(MONITORS, 0o777)
    return True


def start_guests(guests):
    """Start guests (one that an earlier fault left running stays), and suspend those that their owner has paused. Returns when all are as they should be."""
    connection = libvirt.open("qemu:///system")
    running = {one.name() for one in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)}
    for guest in guests:
        if guest["name"] in running:
            continue
        if guest["leased"]:
            with open(guest["leased"], "wb") as stream:
                stream.truncate(1 << 20)
        with open(f"{MONITORS}/{guest['uuid']}.json", "w", encoding="utf-8") as stream:
            json.dump(guest["name"], stream)
        if guest["transient"]:
            connection.createXML(guest["xml"])
        else:
            connection.defineXML(guest["xml"]).create()
    for guest in guests:
        domain = connection.lookupByUUIDString(guest["uuid"])
        if guest["agent"]:
            _until(lambda domain=domain: _answers(domain), f"the agent of {guest['name']}")
            set_guest_clock(guest["name"], 0)
            _until(lambda guest=guest: evidence(guest["address"]), f"an answer of {guest['name']} over its network")
        if guest["role"] == "owner":
            domain.suspend()
    return True


def set_guest_clock(name, ahead):
    """Set the clock of a guest to the host's and so many seconds, as its owner would."""
    domain = libvirt.open("qemu:///system").lookupByName(name)
    command = {"execute": "guest-set-time", "arguments": {"time": time.time_ns() + ahead * 10**9}}
    libvirt_qemu.qemuAgentCommand(domain, json.dumps(command), 20, 0)
    return True


def evidence(address, timeout=2, page="evidence"):
    """What a guest shows over its network, a document; None when it does not answer, or has no such page."""
    try:
        with urllib.request.urlopen(f"http://{address}/{page}", timeout=timeout) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def move_monitor(name, away):
    """Take libvirt's monitor socket of a guest from its place, where libvirtd itself stays connected to it, or put it back."""
    domain = libvirt.open("qemu:///system").lookupByName(name)
    path = f"/var/lib/libvirt/qemu/domain-{domain.ID()}-{name[:20]}/monitor.sock"
    os.rename(*((path, path + AWAY) if away else (path + AWAY, path)))
    return True


def lease_holders(path):
    """The programs that hold a lock on an image, by their names."""
    done = subprocess.run(["lslocks", "--json", "--output", "COMMAND,PATH"], capture_output=True, text=True, check=True, timeout=60)
    return [one["command"] for one in json.loads(done.stdout or '{"locks": []}')["locks"] if one["path"] == path]


def clean(keep=()):
    """Put the host back to where no fault has been: whatever the last one left behind.

    :param keep: Names of guests that stay, if they are as a new one would be.
    """
    for path in glob.glob(f"{DOMAINS}/monitor.sock{AWAY}"):
        os.rename(path, path[: -len(AWAY)])
    for pid in _session_qemus():
        _signal(pid, signal.SIGKILL)
    for pid in [*_chaos_qemus(), *_pids_of("libvirtd")]:
        _signal(pid, signal.SIGCONT)
    for pid in _updates():
        _signal(pid, signal.SIGKILL)
    if os.path.exists("/etc/ld.so.preload"):
        os.unlink("/etc/ld.so.preload")
        _run("systemctl", "daemon-reexec")
        _run("systemctl", "restart", "libvirtd")
    _run("systemctl", "stop", "vm-preserving-*", "vmp-chaos-*")
    _run("systemctl", "restart", "lab-devices")
    _run("systemctl", "reset-failed")
    _run("systemctl", "start", *SOCKETS, "libvirtd.service")
    connection = _until(_connected, "libvirtd")
    stay = set()
    for domain in connection.listAllDomains():
        if domain.name() in keep and _as_new(domain):
            stay.add(domain.UUIDString())
        elif domain.UUIDString().startswith(PREFIX):
            _forget(domain)
    while os.path.ismount(STATE):
        subprocess.run(["umount", "-l", STATE], check=True)
    for mount in glob.glob(FOLDER + "/disk*"):
        if os.path.ismount(mount):
            subprocess.run(["umount", "-l", mount], check=True)
    _run("chattr", "-R", "-i", STATE)
    if os.path.isdir(STATE) and not os.path.islink(STATE):
        shutil.rmtree(STATE)
    elif os.path.lexists(STATE):
        os.unlink(STATE)
    for path in glob.glob("/var/lib/libvirt/images/chaos-*"):
        os.unlink(path)
    for path in glob.glob(MONITORS + "/*") + glob.glob(FOLDER + "/*"):
        if os.path.splitext(os.path.basename(path))[0] in stay or (stay and path == MONITORS):
            continue
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    return True


def _as_new(domain):
    """Whether a guest of an earlier fault runs, carries no mark, and can be watched."""
    if not domain.isActive() or domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING or marked([domain.name()]):
        return False
    return os.path.exists(f"{MONITORS}/{domain.UUIDString()}.sock") and _answers(domain)


def _forget(domain):
    persistent = domain.isPersistent()
    try:
        domain.destroy()
    except libvirt.libvirtError:
        if domain.isActive():
            raise
    if persistent:
        domain.undefine()


def qemu_pid(name):
    """The process of a guest."""
    with open(f"/run/libvirt/qemu/{name}.pid", encoding="ascii") as stream:
        return int(stream.read())


def other_guests():
    """Names of the active guests that are not of a fault: the lab's own. True: it runs."""
    connection = libvirt.open("qemu:///system")
    found = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    return {one.name(): one.state()[0] == libvirt.VIR_DOMAIN_RUNNING for one in found if not one.UUIDString().startswith(PREFIX)}


def marked(names):
    """Which of these guests carry a window's mark in their LIVE metadata."""
    connection = libvirt.open("qemu:///system")
    found = []
    for name in names:
        try:
            connection.lookupByName(name).metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, "urn:vm_preserving:maintenance:window", libvirt.VIR_DOMAIN_AFFECT_LIVE)
            found.append(name)
        except libvirt.libvirtError:
            continue
    return found


def ledger():
    """The ledger's document, or None."""
    try:
        with open(STATE + "/ledger.json", encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None


def put_ledger(document):
    """Replace the ledger by a document, as its owner would."""
    os.makedirs(STATE, mode=0o700, exist_ok=True)
    temporary = STATE + "/chaos.tmp"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        json.dump(document, stream)
    os.replace(temporary, STATE + "/ledger.json")
    return True


def identity(name):
    """What a ledger would say of a guest: a truthful entry, without asking the collection."""
    domain = libvirt.open("qemu:///system").lookupByName(name)
    pid = qemu_pid(name)
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
        start = int(stream.read().rpartition(")")[2].split()[19])
    folder = f"/var/lib/libvirt/qemu/domain-{domain.ID()}-{name[:20]}"
    return {
        "name": name, "uuid": domain.UUIDString(), "id": domain.ID(), "pid": pid, "start_time": start, "monitor": folder + "/monitor.sock",
        "state_before": "running", "reason_before": "booted", "phase": "paused", "paused_at": time.monotonic(), "resumed_at": None,
        "resumed_by": None, "outcome": None, "message": "", "devices": [], "forwarding": [], "only_libvirt": "", "agent": "",
        "clock_target": 0.0, "problem": "", "clock": None,
    }  # fmt: skip


def process_facts(pid):
    """Start time (clock ticks), parent and name of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
            text = stream.read()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return {"pid": pid, "parent": int(fields[1]), "start_time": int(fields[19]), "name": text.partition("(")[2].rpartition(")")[0]}


def session_of(pid):
    """The sshd processes above a process: the SSH session that it came with."""
    found = []
    while pid > 1:
        facts = process_facts(pid)
        if facts is None:
            break
        if facts["name"].startswith("sshd"):
            found.append(pid)
        pid = facts["parent"]
    # The last is the daemon that listens for everybody.
    return found[:-1]


def in_guest(name, script):
    """Start a shell script in a guest through its agent; returns when the agent has started it."""
    domain = libvirt.open("qemu:///system").lookupByName(name)
    arguments = {"path": "/bin/sh", "arg": ["-c", script]}
    libvirt_qemu.qemuAgentCommand(domain, json.dumps({"execute": "guest-exec", "arguments": arguments}), 10, 0)
    return True


def _connected():
    try:
        return libvirt.open("qemu:///system")
    except libvirt.libvirtError:
        return None


def _answers(domain):
    try:
        libvirt_qemu.qemuAgentCommand(domain, '{"execute": "guest-ping"}', 5, 0)
    except libvirt.libvirtError:
        return False
    return True


def _until(condition, what):
    give_up = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > give_up:
            raise SystemExit(f"{what} did not come within {PATIENCE} s")
        time.sleep(0.1)


def _chaos_qemus():
    return [pid for pid, words in _command_lines() if PREFIX.encode() in words and b"qemu-system" in words.split(b"\0")[0]]


def _session_qemus():
    """Of the user without rights: a guest of another libvirt."""
    return [pid for pid, words in _command_lines() if b"qemu-system" in words.split(b"\0")[0] and b"guest=chaos-session," in words]


def _updates():
    """The commands of windows whose module was killed: they go on."""
    return [pid for pid, words in _command_lines() if words == b"sleep\0003017\0"]


def _pids_of(program):
    return [pid for pid, words in _command_lines() if os.path.basename(words.split(b"\0")[0]) == program.encode()]


def _command_lines():
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as stream:
                    yield int(entry), stream.read()
            except OSError:
                continue


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _run(*argv):
    subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
