# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AppArmor on this host: rules for the QEMU of one guest, in the profile that libvirt keeps for just that guest. For libvirt's daemon: `apparmor_daemon`.

libvirt makes the profile `libvirt-UUID` once, from its template, and leaves it as it is after that; what it writes anew at each start is another file, which
the profile includes. At each start it has the kernel take the profile as it is on disk, so a rule in it holds from the next start on. Other guests have
profiles of their own.

Source: libvirt, src/security/virt-aa-helper.c (create_profile, update_include_file), src/security/security_apparmor.c (load_profile).
"""
from __future__ import annotations

import functools
import glob
import os
import shutil
import subprocess
import time
import typing as t

from . import files

PROFILES = "/etc/apparmor.d/libvirt"
_LOADED = "/sys/kernel/security/apparmor/profiles"
_BEGIN, _END = "  # vm_preserving.maintenance: begin", "  # vm_preserving.maintenance: end"
#: Seconds for the kernel to take a profile.
TIMEOUT = 60.0


class ProfileError(Exception):
    """A profile cannot be changed; the text says which and why."""


def name_of(uuid: str) -> str:
    """The profile that libvirt makes for a guest."""
    return f"libvirt-{uuid}"


def _path(uuid: str) -> str:
    return os.path.join(PROFILES, name_of(uuid))


def obstacle(uuid: str, label: str | None) -> str | None:
    """Why the QEMU of a guest cannot be let at anything, or `None` when it can be.

    :param label: The profile that its live XML names.
    """
    if label != name_of(uuid):
        return f"its QEMU is confined by the AppArmor profile {label or 'of its owner'}, which is not libvirt's own for this guest"
    if not os.path.isfile(_path(uuid)):
        return f"its AppArmor profile {_path(uuid)} is not there"
    if shutil.which("apparmor_parser", path="/usr/sbin:/sbin") is None:
        return "its QEMU is confined by AppArmor, and apparmor_parser, which takes a rule back, is not installed"
    return None


def has_profile(uuid: str) -> bool:
    """Whether libvirt has a profile for a guest."""
    return os.path.isfile(_path(uuid))


def with_rules(profile: str, rules: t.Sequence[str]) -> str:
    """A profile with these rules of ours and no others of ours. Pure.

    :param profile: Its text, as libvirt made it from its template: it ends with the brace that closes it.
    :param rules: Lines; none: only take ours out.
    :raises ProfileError: The text has no such end.
    """
    kept = without_rules(profile)
    if rules:
        last = max((number for number, line in enumerate(kept) if line.strip()), default=-1)
        if last < 0 or kept[last].strip() != "}":
            raise ProfileError("it does not end with a brace")
        kept[last:last] = block(rules)
    return "".join(f"{line}\n" for line in kept)


def block(rules: t.Sequence[str]) -> list[str]:
    """Rules of ours, so that they are known for ours. Pure."""
    return [_BEGIN, *(f"  {rule}" for rule in rules), _END] if rules else []


def without_rules(text: str) -> list[str]:
    """The lines that are not ours. Pure."""
    return _parted(text)[0]


def _parted(text: str) -> tuple[list[str], list[str]]:
    """The lines that are not ours, and our rules."""
    kept: list[str] = []
    rules: list[str] = []
    ours = False
    for line in text.splitlines():
        if line in (_BEGIN, _END):
            ours = line == _BEGIN
        elif ours:
            rules.append(line.strip())
        else:
            kept.append(line)
    return kept, rules


def _rules(handed: t.Sequence[str], program: str | None) -> list[str]:
    runs = [] if program is None else [f'"{program}/" r,', f'"{program}/**" rmix,']
    return [*(f'"{path}" rw,' for path in handed), *runs]


def let(uuid: str, handed: t.Sequence[str], program: str | None) -> None:
    """Let the QEMU of a guest at just this, from its next start on. Nothing happens where that is nothing.

    :param handed: Files that it may read and write: paths of this program's own making.
    :param program: The folder of a kept QEMU that it runs; `None`: it runs the installed one.
    :raises ProfileError: It cannot be done.
    """
    if handed or program is not None:
        _write(_path(uuid), _rules(handed, program))


def take_back(uuid: str, handed: t.Sequence[str], program: str | None) -> None:
    """Let the QEMU of a guest at just this, at once. Nothing happens where that is so already.

    :param handed: As for `let`.
    :param program: As for `let`.
    :raises ProfileError: It cannot be done.
    """
    if has_profile(uuid) and _write(_path(uuid), _rules(handed, program)) and _is_loaded(name_of(uuid)):
        take_up(_path(uuid))


def forget(folder: str, programs: t.Container[str]) -> None:
    """Take the kept QEMUs that are there no more out of the profiles that name one: their guests were started by others since.

    :param folder: In which all kept QEMUs are.
    :param programs: The folders of those that are there still.
    :raises ProfileError: It cannot be done.
    """
    for path in sorted(glob.glob(f"{glob.escape(PROFILES)}/libvirt-*")):
        if path.endswith(".files"):
            continue
        rules = _parted(read(path))[1]
        left = [rule for rule in rules if not rule.startswith(f'"{folder}/') or os.path.dirname(rule.split('"')[1]) in programs]
        if left != rules and _write(path, left) and _is_loaded(os.path.basename(path)):
            take_up(path)


def start_takes(uuid: str) -> float:
    """Seconds that libvirt needs for the profile of a guest when it starts it: it has the kernel take it once, and again for each file that it adds.

    On a slow host it is most of a start.

    Source: libvirt, src/security/security_apparmor.c (AppArmorGenSecurityLabel, AppArmorSetPathLabel, AppArmorSetFDLabel).

    :raises ProfileError: It cannot be measured.
    """
    return (1 + added(read(f"{_path(uuid)}.files"))) * _compiling_takes()


def added(text: str) -> int:
    """How many files libvirt has added to a profile one by one, or more: a disk that was there from the beginning looks the same. Pure.

    :param text: What libvirt wrote at the last start of the guest.
    """
    return sum(line.rstrip().endswith(" rwk,") for line in text.splitlines())


@functools.cache
def _compiling_takes() -> float:
    """Seconds for one profile of this host, seen once. The kernel is not told of it."""
    found = sorted(path for path in glob.glob(f"{PROFILES}/libvirt-*") if os.path.exists(f"{path}.files"))
    if not found:
        return 0.0
    began = time.monotonic()
    _run(["apparmor_parser", "--skip-kernel-load", "--skip-cache", found[0]])
    return time.monotonic() - began


def _write(path: str, rules: t.Sequence[str]) -> bool:
    """Returns whether that changed anything."""
    before = read(path)
    try:
        wanted = with_rules(before, rules)
    except ProfileError as error:
        raise ProfileError(f"the AppArmor profile {path} cannot be changed ({error})") from error
    return wanted != before and write(path, wanted)


def read(path: str) -> str:
    """A profile, or a part of one.

    :raises ProfileError: It cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from error


def write(path: str, text: str) -> bool:
    """Replace a profile, or a part of one. The kernel is not told.

    :returns: `True`.
    :raises ProfileError: It cannot be written.
    """
    try:
        files.replace(path, text.encode("utf-8"), 0o644)
    except OSError as error:
        raise ProfileError(f"{path} cannot be written ({error.strerror})") from error
    return True


def take_up(path: str) -> None:
    """Have the kernel take a profile as it is on disk now: it holds at once, for running processes too.

    :raises ProfileError: It does not.
    """
    _run(["apparmor_parser", "--replace", path])


def _is_loaded(name: str) -> bool:
    """Source: the kernel, security/apparmor/apparmorfs.c: a line is the name of a profile and its mode in brackets."""
    try:
        with open(_LOADED, encoding="utf-8") as stream:
            return any(line.startswith(f"{name} ") for line in stream)
    except OSError as error:
        raise ProfileError(f"the kernel does not say which AppArmor profiles it has ({error.strerror})") from error


def _run(argv: t.Sequence[str]) -> None:
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False,
            env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProfileError(f"{' '.join(argv)}: {getattr(error, 'strerror', None) or error}") from error
    if done.returncode:
        raise ProfileError(f"{' '.join(argv)}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
