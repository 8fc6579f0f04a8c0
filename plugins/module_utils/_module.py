# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meeting point with Ansible: common options, the search for python3-libvirt, and errors into `fail_json`."""
from __future__ import annotations

import platform
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module, respawn_module

from ._clock.result import TOLERANCE
from ._core.errors import MaintenanceError
from ._core.places import SYSTEM_URI
from ._pause.limits import DEFAULT_PAUSE_LIMIT
from ._system.hypervisor import describe, libvirt
from ._updates.techniques import IN_PAUSE, TECHNIQUES

#: Interpreters for which distributions package the bindings of libvirt.
_INTERPRETERS = ["/usr/bin/python3", "/usr/libexec/platform-python", "python3"]
#: The oldest Python that this code runs on.
_OLDEST = (3, 9)

URI = {"uri": {"type": "str", "default": SYSTEM_URI}}
NAME = {"name": {"type": "list", "elements": "str", "aliases": ["guest"], "default": []}}
EXCLUDE = {"exclude": {"type": "list", "elements": "str", "default": []}}
PAUSE_LIMIT = {"pause_limit": {"type": "float", "default": DEFAULT_PAUSE_LIMIT}}
#: How the clocks of guests are to be that were paused or saved.
CLOCKS = {
    "correct_clocks": {"type": "bool", "default": True},
    "clock_tolerance": {"type": "float", "default": TOLERANCE},
    "target_offsets": {"type": "dict", "default": {}},
}
QUIESCE = {"quiesce": {"type": "list", "elements": "str", "default": []}}
MANAGED = {"managed_guests": {"type": "str", "choices": ["refuse", "accept"], "default": "refuse"}}
JOBS = {"wait_for_jobs": {"type": "float", "default": 0}}
PAUSE = {
    **EXCLUDE, **PAUSE_LIMIT, **CLOCKS, **JOBS,
    "pause_budget": {"type": "float", "default": 5},
    "fallback": {"type": "str", "choices": ["required", "preferred"], "default": "required"},
}
RULE = {
    "packages": {"type": "list", "elements": "str", "required": True},
    "technique": {"type": "str", "choices": list(TECHNIQUES), "required": True},
    "reason": {"type": "str", "required": True},
    "in_pause": {"type": "str", "choices": list(IN_PAUSE), "default": IN_PAUSE[0]},
}
#: An update given as packages.
PACKAGES = {
    "packages": {"type": "list", "elements": "str", "default": []},
    "only_upgrade": {"type": "bool", "default": True},
    "default_release": {"type": "str"},
    "rules": {"type": "list", "elements": "dict", "options": RULE, "default": []},
}
SECOND_LOOK = {"second_look": {"type": "float", "default": 2}}


def _is_too_old(module: AnsibleModule, interpreter: str) -> bool:
    """Whether an interpreter cannot run this code, as the platform-python 3.6 of RHEL 8: it would end in a traceback."""
    status, _out, _err = module.run_command([interpreter, "-c", f"import sys; sys.exit(sys.version_info < {_OLDEST})"])
    return bool(status != 0)


def _require_libvirt(module: AnsibleModule) -> None:
    if libvirt is not None:
        return
    too_old = []
    for name in [] if has_respawned() else _INTERPRETERS:
        interpreter = probe_interpreters_for_module([name], "libvirt")
        if not interpreter:
            continue
        if not _is_too_old(module, interpreter):
            respawn_module(interpreter)  # does not return
        too_old.append(interpreter)
    oldest = ".".join(map(str, _OLDEST))
    if too_old:
        module.fail_json(
            msg=f"{platform.node()}: the only Python with libvirt's bindings on this host is older than {oldest} ({', '.join(too_old)}), which this collection "
            f"needs; no guest was touched. Install the bindings for a Python from {oldest} on, or update the host's release",
            error={"code": "python_too_old", "message": f"the Python with libvirt's bindings is older than {oldest}"},
        )
    module.fail_json(
        msg=f"{platform.node()}: the Python bindings of libvirt are missing on this host (no Python there can import libvirt); no guest was touched. "
        "Install the distribution's package python3-libvirt and run again",
        error={"code": "python_libvirt_missing", "message": "python3-libvirt is not installed"},
    )


def run(
    argument_spec: dict[str, t.Any],
    body: t.Callable[[dict[str, t.Any], bool], dict[str, t.Any]],
    *,
    empty: dict[str, t.Any] | None = None,
    needs_libvirt: bool = True,
    **module_options: t.Any,
) -> None:
    """Run a module: parse, call `body`, return. The one place where errors become `fail_json`.

    Messages begin with the host's own name, so that it is known also where Ansible's prefix has been cut off.

    :param argument_spec: The module's options.
    :param body: Gets the parameters and whether this is check mode, and returns the result. A key `warnings` in the result
        is shown by Ansible; a key `failed_because` makes the module fail with that message and keep the whole result.
    :param empty: Results that are returned even when it fails early, for example `{"guests": []}`.
    :param needs_libvirt: Whether the bindings have to be there.
    :param module_options: More options of `AnsibleModule`.
    """
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **module_options)
    if needs_libvirt:
        _require_libvirt(module)
    partial = dict(empty or {})
    try:
        result = body(module.params, module.check_mode)
    except MaintenanceError as error:
        message = f"{platform.node()}: {error}"
        module.fail_json(msg=message, error={"code": error.code, "message": message}, **{**partial, **error.result})
    except (libvirt.libvirtError if libvirt is not None else ()) as error:  # noqa: B030
        module.fail_json(
            msg=f"{platform.node()}: libvirt answered with an error: {describe(error)}. Run guest_info to see in which state the guests are",
            error={"code": "libvirt", "message": describe(error)}, **partial,
        )
    except Exception as error:  # a defect of ours: reported in a sentence all the same, the traceback with -vvv
        module.fail_json(
            msg=f"{platform.node()}: unexpected {type(error).__name__} ({error}), a defect of this collection. Run guest_info to see in which state the "
            "guests are; what was paused is resumed by the guard at its deadline",
            error={"code": "defect", "message": f"{type(error).__name__}: {error}"}, exception=traceback.format_exc(), **partial,
        )
    for warning in result.pop("warnings", []):
        module.warn(warning)
    failed_because = result.pop("failed_because", None)
    if failed_because:
        message = f"{platform.node()}: {failed_because[1]}"
        module.fail_json(msg=message, error={"code": failed_because[0], "message": message}, **result)
    module.exit_json(**result)


def states_diff(guests: t.Sequence[dict[str, t.Any]]) -> dict[str, str]:
    """The diff of a result whose guests have `before` and `after` states."""
    def lines(key: str) -> str:
        return "".join(f"{guest['name']}: {guest[key]['state']}\n" for guest in guests)

    return {"before": lines("before"), "after": lines("after")}
