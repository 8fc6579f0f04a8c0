# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's part of report_check, which is all of it: nothing is sent to the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_check import check
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_file import SUFFIX, ReportError, digest, read_events, write_page
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_model import story
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_page import page

OPTIONS = {
    "path": {"type": "path", "required": True},
    "make_page": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Reads a report, and says whether it holds."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the task; raises AnsibleActionFail with one sentence when the report cannot be read."""
        super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec(argument_spec=OPTIONS)
        try:
            path = _newest(Path(given["path"]).expanduser())
            data = path.read_bytes()
            events = read_events(data, str(path))
            html = path.with_suffix(".html")
            sha = digest(data)
            made = page(story(events), path.name, sha)
            changed = given["make_page"] and not html.exists()
            if changed and not self._task.check_mode:
                write_page(html, made)
            found = check(events, html.read_text(encoding="utf-8", errors="replace") if html.exists() else None, sha, made)
        except ReportError as error:
            raise AnsibleActionFail(f"{error}.") from None
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename} cannot be used ({error.strerror}).") from None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise AnsibleActionFail(f"{path} has events that this release did not write ({type(error).__name__}: {error}).") from None
        result = {"changed": changed, "path": str(path), "sha256": sha, "faults": found.faults, "unproved": found.unproved, "totals": found.counted}
        if found.faults:
            result.update(failed=True, msg=f"{path.name} does not hold: {'; '.join(found.faults)}")
        return result


def _newest(path: Path) -> Path:
    """The events' file: the path itself, or the newest report in a folder. Raises ReportError, OSError."""
    if not path.is_dir():
        return path.with_suffix(SUFFIX)
    # Their names begin with the time.
    found = sorted(path.glob(f"*{SUFFIX}"))
    if not found:
        raise ReportError(f"there is no report in {path}")
    return found[-1]
