# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an update has done on a host what was planned. Pure; knows no Ansible."""
from __future__ import annotations

import typing as t

Result = t.Mapping[str, t.Any]
#: How many services are told by name.
_SHOWN = 8


def not_done(planned: t.Sequence[Result], now: t.Sequence[Result]) -> list[str]:
    """The planned packages that still wait for what was planned.

    A package may be pending once more without that: the mirror has published another version meanwhile.

    :param planned: What host_update_info said was pending, before.
    :param now: The same, afterwards.
    :returns: Their names.
    """
    pending = {change["name"]: change for change in now}
    return [change["name"] for change in planned if change["name"] in pending and _waits(change, pending[change["name"]])]


def _waits(planned: Result, now: Result) -> bool:
    if now["candidate"] == planned["candidate"]:
        return True
    # Of packages that stay beside older ones, as kernels do, no installed version is given: there another candidate is all there is to see.
    return now["installed"] is not None and now["installed"] == planned["installed"] != planned["candidate"]


def published(planned: t.Sequence[Result], now: t.Sequence[Result]) -> list[str]:
    """What is pending now and was not planned, each as name and version.

    :param planned: What host_update_info said was pending, before.
    :param now: The same, afterwards.
    """
    waiting = not_done(planned, now)
    return [" ".join(filter(None, (change["name"], change["candidate"]))) for change in now if change["name"] not in waiting]


def proof(
    decision: Result, planned: t.Sequence[Result], update: Result | None = None, still_something_to_do: bool = False, skipped: t.Container[str] = (),
) -> tuple[list[str], list[str]]:
    """What of the update is not done.

    :param decision: What host_decision decided.
    :param planned: What host_update_info said was pending, before.
    :param update: What it returned afterwards, without reading the package lists anew; `None` when the update was not given as packages.
    :param still_something_to_do: The operator's command says that there still is something to do.
    :param skipped: UUIDs of the guests that could not be moved, and were left on their old QEMU as the operator wants it.
    :returns: The problems, and what is worth knowing and no problem.
    """
    problems: list[str] = []
    notes: list[str] = []
    waiting = not_done(planned, [] if update is None else update["pending"])
    if waiting or still_something_to_do:
        what = f"{', '.join(waiting)} still waits to be updated" if waiting else "host_update_pending_command says that there still is something to do"
        where = "the host's log of the package manager" if waiting else "what that command looks at"
        problems.append(f"the update ran without an error, and yet {what}. Look at {where}")
    if update is None:
        return problems, notes
    since = published(planned, update["pending"])
    if since:
        notes.append(f"published meanwhile, and for the next run: {', '.join(since)}")
    if update["not_installed"]:
        notes.append(f"not installed on this host, and left out: {', '.join(update['not_installed'])}")
    old = [guest for guest in update["stale"]["guests"] if guest["uuid"] not in decision["left_alone"] and guest["uuid"] not in skipped]
    names = ", ".join(guest["name"] for guest in old)
    if old and (decision["refreshes"] or decision["reboots"]):
        problems.append(f"the update was applied, and these guests still run what was replaced: {names}. They run. Run guest_refresh on the host to see why")
    elif old:
        notes.append(f"still on what was replaced, as the technique {decision['technique']} leaves them: guest {names}")
    helping = sorted({f"{process['name']} of guest {process['guest']}" for process in update["stale"]["processes"] if process["guest"]})
    if helping:
        notes.append(f"still on what was replaced, until their guest is started anew: {', '.join(helping)}")
    alone = [guest["name"] for guest in update["stale"]["guests"] if guest["uuid"] in decision["left_alone"]]
    if alone:
        notes.append(f"still on what was replaced, because they are left alone: guest {', '.join(alone)}")
    unmoved = [guest["name"] for guest in update["stale"]["guests"] if guest["uuid"] in skipped]
    if unmoved:
        notes.append(f"still on what was replaced, because they could not be moved (guest_refresh on the host says why): guest {', '.join(unmoved)}")
    if update["restarts_due"]:
        names = ", ".join(one["unit"] for one in update["restarts"]) or "nothing that runs"
        problems.append(f"the packages are in, and what was held back is still to be restarted: {names}. Run again")
    # libvirt's own daemons are restarted or reloaded by the role after this look.
    services = sorted({one["unit"] or one["name"] for one in update["stale"]["processes"] if not one["guest"]})
    if services and not decision["reboots"]:
        more = f" and {len(services) - _SHOWN} more" if len(services) > _SHOWN else ""
        notes.append(f"still on what was replaced, until they are restarted: {', '.join(services[:_SHOWN])}{more}")
    kernel = update["stale"]["kernel"]
    if decision["reboots"] and kernel["differs"] and decision["kernel_pinned"]:
        notes.append(f"the host runs the kernel {kernel['running']} although {kernel['newest']} is installed, as it did before: its boot loader says so")
    elif decision["reboots"] and kernel["differs"]:
        problems.append(
            f"the update was applied and the host was rebooted, and it runs the kernel {kernel['running']} although {kernel['newest']} is installed. The "
            "guests are back. Look at the host's boot loader"
        )
    return problems, notes
