# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible tells callbacks, as the events of a run: the one part of reports and progress that knows Ansible."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible import __version__ as ansible_version
from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar

from . import report_events, update_domains
from .report_text import visible
from .rollout_files import new_id


def guarded(method: Callable[..., None]) -> Callable[..., None]:
    """Nothing that goes wrong in a callback of ours may reach the run: it is one warning, and the callback is silent from then on."""
    @functools.wraps(method)
    def tried(self: RunCallback, *args: Any, **kwargs: Any) -> None:
        if self._broken:
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self._broken = True
            kind, text = type(error).__name__, visible(error)
            self._display.warning(f"{self.CALLBACK_NAME.rpartition('.')[2]}: {self.ENDS_HERE} ({kind}: {text}); the run itself goes on")
    return tried


class RunCallback(CallbackBase):
    """A callback that is given the events of a run.

    A subclass has `happened`, and `over`. Both are called only for runs that update hosts, `happened` also with what came before that was known.

    events: all events up to now.
    """

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NEEDS_ENABLED = True
    #: What an error means to the operator.
    ENDS_HERE = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._broken = False
        self._ours = False
        self._began = time.monotonic()
        self._starts: dict[tuple[str, str], float] = {}
        self._playbook = ""
        self.events: list[dict[str, Any]] = []

    def happened(self, events: list[dict[str, Any]]) -> None:
        """Take these events, which are in `events` already."""

    def over(self) -> None:
        """The run has ended; the last event says how."""

    @guarded
    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._playbook = os.path.basename(playbook._file_name)

    @guarded
    def v2_playbook_on_play_start(self, play: Any) -> None:
        if not self.events:
            self._add({
                "event": "run", "format": report_events.FORMAT, "run": new_id(), "playbook": self._playbook, "by": f"{_user()}@{os.uname().nodename}",
                "ansible": ansible_version, "check": bool(context.CLIARGS.get("check")), "limit": str(context.CLIARGS.get("subset") or ""),
            })
        manager = play.get_variable_manager()
        hosts = manager._inventory.get_hosts(play.hosts)
        if not self._ours:
            # Before the first event is handed on: variables of the play may say where to.
            self.set_options(var_options=manager.get_vars(play=play))
        self._add({"event": "play", "name": play.get_name(), "hosts": [host.name for host in hosts], "domains": _domains(play, manager, hosts)})

    @guarded
    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._starts[host.name, task._uuid] = time.monotonic()

    @guarded
    def v2_runner_on_ok(self, result: Any) -> None:
        self._ended(result, "ok")

    @guarded
    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._ended(result, "failed", bool(ignore_errors))

    @guarded
    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._ended(result, "unreachable", bool(_task(result).ignore_unreachable))

    @guarded
    def v2_runner_on_skipped(self, result: Any) -> None:
        self._took(result)

    @guarded
    def v2_playbook_on_stats(self, stats: Any) -> None:
        if self._ours:
            self._add({"event": "end", "hosts": {name: _counts(stats.summarize(name)) for name in sorted(stats.processed)}}, told=False)
            self.over()

    def _ended(self, result: Any, status: str, ignored: bool = False) -> None:
        task, took = _task(result), self._took(result)
        role = task._role.get_name() if task._role else ""
        name = task.get_name().removeprefix(f"{role} : ")
        seen = report_events.Task(name, task.resolved_action or task.action, role, bool(task.check_mode), _plain(task.args.get("state")))
        content = getattr(result, "result", None)
        steps = report_events.steps(_host(result), seen, status, result._result if content is None else content, took, ignored)
        before = self.events[:] if not self._ours and report_events.is_ours(seen) else []
        if before:
            self._ours = True
            self.happened(before)
        self._add(*steps)

    def _took(self, result: Any) -> float | None:
        """Seconds since the task began on the host; None when that was not told."""
        began = self._starts.pop((_host(result), _task(result)._uuid), None)
        return None if began is None else round(time.monotonic() - began, 3)

    def _add(self, *events: dict[str, Any], told: bool = True) -> None:
        first = len(self.events)
        for event in events:
            now = time.time()
            at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03d}Z"
            self.events.append({"n": len(self.events), "t": round(time.monotonic() - self._began, 3), "at": at, **event})
        if self._ours and told and events:
            self.happened(self.events[first:])


def _task(result: Any) -> Any:
    # ansible-core 2.19 and later have these without the underscore, and will have them so alone.
    return getattr(result, "task", None) or result._task


def _host(result: Any) -> str:
    return str((getattr(result, "host", None) or result._host).name)


def _counts(one: dict[str, int]) -> dict[str, int]:
    return {"failed": one["failures"], **{key: one[key] for key in ("unreachable", "ok", "changed", "rescued", "ignored")}}


def _plain(value: object) -> str:
    """A text that is not a template; else empty."""
    return str(value) if isinstance(value, str) and "{{" not in value else ""


def _user() -> str:
    try:
        return Path("~").expanduser().owner()
    except (KeyError, OSError, RuntimeError):
        return str(os.getuid())


def _domains(play: Any, manager: Any, hosts: Sequence[Any]) -> list[dict[str, Any]]:
    """The update domains of the hosts that have one, in the order in which they are updated; none when there is no order."""
    values, order, first = {}, None, None
    for host in hosts:
        variables = manager.get_vars(play=play, host=host)
        templar = Templar(loader=play.get_loader(), variables=variables)
        value = templar.template(variables.get("update_domain"))
        if value is not None:
            values[host.name] = value
            order, first = (templar.template(variables.get(name)) for name in ("update_domain_order", "update_domain_first"))
    try:
        found = update_domains.order_domains(update_domains.group_hosts(values), order, first)
    except update_domains.UpdateDomainError:
        return []  # the strategy says why
    return [{"name": domain.name, "hosts": list(domain.hosts)} for domain in found]
