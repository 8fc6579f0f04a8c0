# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host, sent there as text (see host.py), for the faults of saved guests: each function takes and returns plain data."""

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import time

import libvirt

STATE = "/var/lib/vm_preserving/system"
#: Everywhere where something of ours can be left.
PLACES = (STATE + "/saved/*", STATE + "/proof", "/var/log/libvirt/qemu/vm-preserving-*", "/dev/shm/vm_preserving/*",
          "/var/lib/libvirt/qemu/vm-preserving/*", "/etc/systemd/system/vm-preserving-*", "/etc/systemd/system/*.wants/vm-preserving-*",
          "/var/lib/libvirt/qemu/save/*.save")
STOPPER = "/etc/systemd/system/vmp-chaos-stopper.service"
HELD = "/run/vmp-chaos-held"
MANAGED = "/var/lib/libvirt/qemu/save"
QEMU = "/usr/bin/qemu-system-x86_64"
#: How the names of the guests begin that the collection throws away.
THROWN_AWAY = "vm-preserving-"
NAMESPACE = "urn:vm_preserving:maintenance:window"
PREFIX = "c4a05000-"
#: Seconds.
PATIENCE = 60
_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running", libvirt.VIR_DOMAIN_PAUSED: "paused", libvirt.VIR_DOMAIN_SHUTOFF: "off", libvirt.VIR_DOMAIN_CRASHED: "crashed",
}

libvirt.registerErrorHandler(lambda _context, _error: None, None)


def clean(keep):
    """Put the host back to where nothing was ever saved. The lab's guests are let be; those whose UUID says that they are of a fault go.

    :param keep: Names of those that stay.
    """
    release()
    if os.path.exists(QEMU + ".kept"):
        os.replace(QEMU + ".kept", QEMU)
    for path in (STOPPER, "/root/vmp-chaos-stopper.py", "/etc/default/libvirt-guests", "/var/lib/libvirt/libvirt-guests"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    for path in glob.glob("/etc/systemd/system/*.wants/vmp-chaos-stopper.service") + glob.glob("/etc/systemd/system/*.wants/vm-preserving-*"):
        os.unlink(path)
    _run("systemctl", "stop", "vm-preserving-*", "vmp-chaos-*")
    for path in glob.glob("/etc/systemd/system/vm-preserving-*"):
        os.unlink(path)
    for path in glob.glob("/etc/systemd/system/vmp-chaos-clocks.service") + glob.glob("/etc/systemd/system/*.wants/vmp-chaos-clocks.service"):
        os.unlink(path)
    _run("systemctl", "daemon-reload")
    _run("systemctl", "reset-failed")
    _run("systemctl", "start", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd.service")
    connection = _until(_connected, "libvirtd")
    for domain in connection.listAllDomains():
        if domain.name().startswith(THROWN_AWAY) or (domain.UUIDString().startswith(PREFIX) and domain.name() not in keep):
            _forget(domain)
            continue
        if domain.isPersistent():
            domain.setAutostart(0)
        if domain.hasManagedSaveImage():
            domain.managedSaveRemove()
        if domain.isActive() and _mark(domain):
            domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, "vm-preserving", NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    while os.path.ismount(MANAGED):
        subprocess.run(["umount", "-l", MANAGED], check=True)
    for path in (STATE, "/dev/shm/vm_preserving"):
        shutil.rmtree(path, ignore_errors=True)
    # The folder stays: the QEMU of a guest that came by it makes its files there again.
    for path in glob.glob("/var/lib/libvirt/qemu/vm-preserving/*"):
        os.unlink(path)
    return True


def _forget(domain):
    persistent = domain.isPersistent()
    if domain.isActive():
        domain.destroy()
    if persistent:
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)


def look(names):
    """Each guest as libvirt shows it; None where it does not know it."""
    connection = libvirt.open("qemu:///system")
    found = {}
    for name in names:
        try:
            domain = connection.lookupByName(name)
        except libvirt.libvirtError:
            found[name] = None
            continue
        found[name] = {
            "state": _STATES.get(domain.state()[0], "unknown"), "id": domain.ID(), "autostart": bool(domain.isPersistent() and domain.autostart()),
            "managed": bool(domain.hasManagedSaveImage()), "mark": _mark(domain) if domain.isActive() else None,
        }
    return found


def _mark(domain):
    try:
        return domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError:
        return None


def leftovers():
    """Files and units of ours that are still there, an open ledger included."""
    found = [path for pattern in PLACES for path in glob.glob(pattern)]
    done = subprocess.run(
        ["systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating,failed", "vm-preserving-*"],
        capture_output=True, text=True, check=False, timeout=60,
    )
    found += [line.split()[0] for line in done.stdout.splitlines()]
    found += [domain.name() for domain in libvirt.open("qemu:///system").listAllDomains() if domain.name().startswith(THROWN_AWAY)]
    document = saving()
    if document is not None and document["saved"]["closed_at"] is None:
        found.append("saved.json (open)")
    return found


def saving():
    """The ledger's document, or None."""
    try:
        with open(STATE + "/saved.json", encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None


def stopper(program, arguments, at_boot):
    """Start the program that stops a process at its moment, now or at the next boot. Returns when it looks (but for a boot)."""
    with open("/root/vmp-chaos-stopper.py", "w", encoding="utf-8") as stream:
        stream.write(program)
    words = " ".join(["/usr/bin/python3", "/root/vmp-chaos-stopper.py", HELD, *arguments])
    if at_boot:
        with open(STOPPER, "w", encoding="ascii") as stream:
            stream.write(
                "[Unit]\nBefore=vm-preserving-restore.service libvirtd.service\n"
                f"[Service]\nType=exec\nNice=-10\nExecStart={words}\n[Install]\nWantedBy=multi-user.target\n"
            )
        subprocess.run(["systemctl", "--quiet", "enable", STOPPER], check=True, capture_output=True, timeout=60)
        return True
    with contextlib.suppress(FileNotFoundError):
        os.unlink(HELD)
    argv = ["systemd-run", "--quiet", "--collect", "--unit=vmp-chaos-stopper", "--property=Nice=-10", "--service-type=exec", *words.split()]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    return True


def held():
    """The process that the stopper has stopped, or ended; None while it has none."""
    try:
        with open(HELD, encoding="ascii") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return None


def release():
    """Let the process that the stopper holds go on."""
    pid = held()
    if pid is not None:
        os.unlink(HELD)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return True


def unit_pid(pattern):
    """The main process of the active unit of this name; 0 when there is none."""
    done = subprocess.run(["systemctl", "show", "--property=MainPID", "--value", pattern], capture_output=True, text=True, check=True, timeout=60)
    return max([int(word) for word in done.stdout.split()], default=0)


def _connected():
    try:
        return libvirt.open("qemu:///system")
    except libvirt.libvirtError:
        return None


def _until(condition, what):
    give_up = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > give_up:
            raise SystemExit(f"{what} did not come within {PATIENCE} s")
        time.sleep(0.1)


def _run(*argv):
    subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=100)


def unmark(names):
    """Take the marks off guests that their owner has restored by hand."""
    connection = libvirt.open("qemu:///system")
    for name in names:
        connection.lookupByName(name).setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, "vm-preserving", NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_LIVE
        )
    return True
