# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host, sent there as text: a package whose script restarts a service of ours, offered in a repository on the host's own disk."""

import glob
import hashlib
import os
import shutil
import subprocess

FOLDER = "/var/lib/vmp-chaos-packages"
SOURCE = "/etc/apt/sources.list.d/vmp-chaos.list"
#: It needs a pause by its name.
PACKAGE = "openvswitch-chaos"
UNIT = "vmp-chaos-switch.service"
#: A line for each start of the service.
STARTS = FOLDER + "/starts"
RECORD = "/run/vm_preserving/held_restarts"


def _run(*argv):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def _build(version, script):
    root = f"{FOLDER}/{version}"
    os.makedirs(f"{root}/DEBIAN")
    with open(f"{root}/DEBIAN/control", "w", encoding="ascii") as stream:
        stream.write(f"Package: {PACKAGE}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: chaos\n")
    with open(f"{root}/DEBIAN/postinst", "w", encoding="utf-8") as stream:
        stream.write(f"#!/bin/sh\nset -e\n{script}\n")
    os.chmod(f"{root}/DEBIAN/postinst", 0o755)
    _run("dpkg-deb", "--build", "--root-owner-group", root, f"{FOLDER}/{PACKAGE}_{version}_all.deb")
    return f"{FOLDER}/{PACKAGE}_{version}_all.deb"


def offer(script, start):
    """Install version 1 of the package, start the service, and offer version 2.

    :param script: What its postinst does.
    :param start: What the service does when it starts, a line of shell; it then runs on.
    """
    withdraw()
    os.makedirs(FOLDER)
    _run("dpkg", "--install", _build("1", "true"))
    path = _build("2", script)
    with open(path, "rb") as stream:
        data = stream.read()
    described = subprocess.run(["dpkg-deb", "--field", path], check=True, capture_output=True, text=True).stdout
    with open(f"{FOLDER}/Packages", "w", encoding="utf-8") as stream:
        stream.write(f"{described}Filename: ./{os.path.basename(path)}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n")
    with open(SOURCE, "w", encoding="ascii") as stream:
        stream.write(f"deb [trusted=yes] file:{FOLDER} ./\n")
    with open(f"/run/systemd/system/{UNIT}", "w", encoding="utf-8") as stream:
        stream.write(f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo x >> {STARTS}; {start}'\n")
    _run("systemctl", "daemon-reload")
    with open(FOLDER + "/first", "w", encoding="ascii"):  # the first start goes well, whatever the later ones do
        pass
    _run("systemctl", "start", UNIT)
    os.unlink(FOLDER + "/first")
    return True


def withdraw():
    """Leave nothing of it."""
    subprocess.run(["systemctl", "stop", UNIT], check=False, capture_output=True)
    subprocess.run(["dpkg", "--purge", "--force-remove-reinstreq", PACKAGE], check=False, capture_output=True)
    for path in [SOURCE, f"/run/systemd/system/{UNIT}", *glob.glob(RECORD + "*"), *glob.glob("/var/lib/apt/lists/*vmp-chaos*")]:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
    shutil.rmtree(FOLDER, ignore_errors=True)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "reset-failed", UNIT], check=False, capture_output=True)
    return True


def state():
    """How often the service was started, which version is in, and what is held back."""
    with open(STARTS, encoding="ascii") as stream:
        starts = len(stream.readlines())
    said = subprocess.run(["dpkg-query", "--show", "--showformat=${Version} ${db:Status-Status}", PACKAGE], check=True, capture_output=True, text=True)
    record = ""
    if os.path.isfile(RECORD):
        with open(RECORD, encoding="utf-8", errors="replace") as stream:
            record = stream.read(500)
    return {"starts": starts, "package": said.stdout, "record": record}
