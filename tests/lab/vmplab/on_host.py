"""Runs on a host, sent there as text (see remote.call): each function takes and returns plain data."""

import base64
import concurrent.futures
import contextlib
import json
import os
import subprocess
import time
import urllib.request
from xml.etree import ElementTree

import libvirt
import libvirt_qemu

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
    libvirt.VIR_DOMAIN_SHUTOFF: "off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
}
# libvirtd serves five calls of one connection at a time.
_AT_ONCE = 4

libvirt.registerErrorHandler(lambda _context, _error: None, None)


QEMU_CONF = "/etc/libvirt/qemu.conf"
LOCKED = 'lock_manager = "lockd"\n'


def wait_for_libvirt():
    """Until libvirtd answers and its networks for the guests are there."""
    deadline = time.monotonic() + 50
    while True:
        try:
            missing = [one for one in libvirt.open("qemu:///system").listAllNetworks() if not one.isActive()]
            if not missing:
                return True
            missing[0].create()
        except libvirt.libvirtError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def use_lock_manager(wanted):
    """Have libvirt guard the disks of guests that it starts or resumes from now on by virtlockd, or no more. Guests run on."""
    with open(QEMU_CONF, encoding="utf-8") as stream:
        text = stream.read()
    if (LOCKED in text) == wanted:
        return False
    with open(QEMU_CONF, "w", encoding="utf-8") as stream:
        stream.write(text + LOCKED if wanted else text.replace(LOCKED, ""))
    subprocess.run(["systemctl", "restart", "libvirtd.service"], check=True)
    return wait_for_libvirt()


def make_switch(bridge, port, uplink_unit):
    """Install the older Open vSwitch that the mirror has, if there is none yet, and make a bridge in it; `uplink_unit` is the service that makes its port."""
    if not os.path.exists("/usr/bin/ovs-vsctl"):
        # The switch runs in user space: its kernel module, which a host in a container could not load, is not needed.
        os.symlink("/bin/true", "/usr/local/sbin/modprobe")
        with open("/etc/systemd/system/lab-uplink.service", "w", encoding="utf-8") as stream:
            stream.write(uplink_unit)
        listed = subprocess.run(["apt-cache", "madison", "openvswitch-switch"], check=True, stdout=subprocess.PIPE, text=True).stdout
        oldest = listed.splitlines()[-1].split("|")[1].strip()
        _install(f"openvswitch-switch={oldest}", f"openvswitch-common={oldest}", "ethtool")
    subprocess.run(["systemctl", "enable", "--quiet", "--now", "lab-uplink.service"], check=True)
    subprocess.run(
        ["ovs-vsctl", "--may-exist", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "--", "--may-exist", "add-port", bridge, port],
        check=True,
    )
    return True


def _install(*packages):
    done = subprocess.run(["apt-get", "-q", "-y", "install", *packages], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout[-2000:]}\n{' '.join(packages)} could not be installed")


def start_guests(guests, patience):
    """Start guests, each a document with `xml`, `kind` and `disk`, and wait until each shows that it has booted, for at most `patience` seconds."""
    for path in (guest["disk"] for guest in guests if guest.get("disk")):
        with open(path, "wb") as stream:
            stream.truncate(1 << 20)
        use_lock_manager(True)
    connection = libvirt.open("qemu:///system")

    def start(guest):
        if guest["kind"] in ("transient", "minimal"):
            connection.createXML(guest["xml"])
        else:
            connection.defineXML(guest["xml"]).create()

    _for_each(start, guests)
    _for_each(lambda guest: _wait_for_boot(connection, guest, patience), guests)
    _set_clocks(connection, guests)
    for guest in guests:
        if guest["kind"] == "owner-paused":
            connection.lookupByName(guest["name"]).suspend()
    return True


def guests_are_back(guests, patience):
    """Wait until guests that were saved together with their host answer again; their clocks stood still meanwhile."""
    connection = libvirt.open("qemu:///system")
    running = [guest for guest in guests if guest["kind"] != "owner-paused"]
    _for_each(lambda guest: _wait_for_boot(connection, guest, patience), running)
    _set_clocks(connection, running)
    return True


def _set_clocks(connection, guests):
    """This stands for the time service that a real guest runs: the emulated clock chip starts at a whole second, so a fresh guest is wrong by up to one."""
    for guest in guests:
        if guest["kind"] not in ("agentless", "minimal"):
            _ask_agent(connection.lookupByName(guest["name"]), "guest-set-time", time=time.time_ns())


def remove_guests(names):
    """Destroy guests and forget them."""
    connection = libvirt.open("qemu:///system")
    for name in names:
        try:
            guest = connection.lookupByName(name)
        except libvirt.libvirtError:  # a transient one that is off already
            continue
        persistent = guest.isPersistent()
        disks = [element.get("file") for element in ElementTree.fromstring(guest.XMLDesc()).iterfind("./devices/disk/source[@file]")]
        if guest.isActive():
            guest.destroy()
        if persistent:
            guest.undefine()
        for path in disks:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    return True


def states(names):
    """Each guest's state, a word; "gone" if libvirt does not know it."""
    connection = libvirt.open("qemu:///system")
    found = {guest.name(): _STATES.get(guest.state()[0], "unknown") for guest in connection.listAllDomains()}
    return {name: found.get(name, "gone") for name in names}


def evidence(guests):
    """Each guest's document with `state` and `evidence` (null where it gives none)."""
    state = states([guest["name"] for guest in guests])

    def look(guest):
        seen = None
        if guest["address"] and state[guest["name"]] == "running":
            try:
                seen = _evidence(guest, 3)
            except (OSError, ValueError):
                pass
        return {"name": guest["name"], "kind": guest["kind"], "state": state[guest["name"]], "evidence": seen}

    return _for_each(look, guests)


def checksums(guests):
    """The checksum over the large buffer of each guest that runs, by its name; null where it gives none."""
    state = states([guest["name"] for guest in guests])

    def look(guest):
        try:
            with urllib.request.urlopen(f"http://{guest['address']}/cgi-bin/checksum", timeout=60) as answer:
                return guest["name"], answer.read().split()[0].decode("ascii")
        except (OSError, ValueError, IndexError):
            return guest["name"], None

    return dict(_for_each(look, [guest for guest in guests if guest["address"] and state[guest["name"]] == "running"]))


def start_pings(names, address, interval):
    """Have guests send a numbered packet to an address every `interval` seconds, by their agents; returns each guest's process, by name."""
    connection = libvirt.open("qemu:///system")
    arguments = {"path": "/bin/ping", "arg": ["-i", str(interval), address], "capture-output": True}
    return {name: _ask_agent(connection.lookupByName(name), "guest-exec", **arguments)["pid"] for name in names}


def end_pings(pids):
    """What each of these processes has printed, by the guest's name."""
    connection = libvirt.open("qemu:///system")
    printed = {}
    for name, pid in pids.items():
        domain = connection.lookupByName(name)
        _ask_agent(domain, "guest-exec", path="/bin/kill", arg=["-INT", str(pid)])
        deadline = time.monotonic() + 20
        while not (status := _ask_agent(domain, "guest-exec-status", pid=pid))["exited"]:
            if time.monotonic() > deadline:
                raise SystemExit(f"the ping of guest {name} has not ended within 20 s")
            time.sleep(0.1)
        printed[name] = base64.b64decode(status.get("out-data", "")).decode("ascii")
    return printed


def page(address, path):
    """What a guest's web server has."""
    with urllib.request.urlopen(f"http://{address}/{path}", timeout=20) as answer:
        return answer.read().decode("utf-8", "replace")


def _wait_for_boot(connection, guest, patience):
    if guest["kind"] == "minimal":
        return
    deadline = time.monotonic() + patience
    while True:
        try:
            _evidence(guest, 2)
            if guest["kind"] != "agentless":
                _ask_agent(connection.lookupByName(guest["name"]), "guest-ping")
            return
        except (OSError, ValueError, libvirt.libvirtError) as error:
            if time.monotonic() > deadline:
                state = states([guest["name"]])[guest["name"]]
                said = _console(guest)
                raise SystemExit(f"guest {guest['name']} ({state}) has not booted within {patience} s: {error}; its console ends with: {said}") from error
        time.sleep(0.3)


def _console(guest):
    try:
        with open(f"/var/log/libvirt/qemu/{guest['name']}-console.log", encoding="utf-8", errors="replace") as stream:
            return " / ".join(stream.read()[-600:].split("\n"))
    except OSError as error:
        return str(error)


def _ask_agent(domain, command, **arguments):
    return json.loads(libvirt_qemu.qemuAgentCommand(domain, json.dumps({"execute": command, "arguments": arguments}), 10, 0))["return"]


def _evidence(guest, timeout):
    with urllib.request.urlopen(f"http://{guest['address']}/evidence", timeout=timeout) as answer:
        return json.load(answer)


def _for_each(function, items):
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(function, items))
