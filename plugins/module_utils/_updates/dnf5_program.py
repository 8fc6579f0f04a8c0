# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dnf 5 would do, asked of libdnf5's Python bindings. Runs by itself, under the system's Python; see dnf5.

dnf5's own --store writes a transaction as JSON as well, but only after it has downloaded all packages, and its tables are for people. Nothing
is downloaded or changed here: the lists of the repositories are those in dnf5's cache.
"""
from __future__ import annotations

import json
import os
import sys
import typing as t

#: libdnf5's actions in the words of dnf 4, so that both are read alike.
WORDS = {"Install": "INSTALL", "Upgrade": "UPGRADE", "Downgrade": "DOWNGRADE", "Reinstall": "REINSTALL", "Remove": "REMOVE", "Reason Change": "REASON_CHANGE"}
#: What goes with them, of the same name.
GONE = {"Upgrade": "UPGRADED", "Downgrade": "DOWNGRADED", "Reinstall": "REINSTALLED"}


def answer(base: t.Any, packages: list[str], only_upgrade: bool) -> dict:
    """What an update would do.

    :param base: A `libdnf5.base.Base` with its configuration read.
    :param packages: Package specifications; none: everything that can be upgraded.
    :param only_upgrade: Whether what is not installed is left out.
    :returns: `rows`, `files`, `read`, `ignored` and `not_installed`, as dnf 4's program gives them; or `error`, in libdnf5's words.
    :raises Exception: libdnf5 refuses; mostly a `libdnf5.exception.Error`.
    """
    import libdnf5  # pylint: disable=import-outside-toplevel

    base.get_config().cacheonly = "all"
    base.setup()
    sack = base.get_repo_sack()
    sack.create_repos_from_system_configuration()
    sack.load_repos()
    available = libdnf5.repo.RepoQuery(base)
    available.filter_enabled(True)
    lists = {repo.get_id(): os.path.exists(os.path.join(repo.get_cachedir(), "repodata", "repomd.xml")) for repo in available if repo.get_id() != "@System"}
    goal = libdnf5.base.Goal(base)
    settings = libdnf5.base.GoalJobSettings()
    # The newest or an error for what is named; of everything, what cannot be upgraded is left as it is.
    settings.set_best(libdnf5.base.GoalSetting_SET_TRUE if packages else libdnf5.base.GoalSetting_SET_FALSE)
    for spec in packages:
        if only_upgrade:
            goal.add_upgrade(spec, settings)
        else:
            goal.add_install(spec, settings)
    if not packages:
        goal.add_rpm_upgrade(settings)
    transaction = goal.resolve()
    logs = list(transaction.get_resolve_logs())
    left_out = [log.get_spec() for log in logs if log.get_problem() == libdnf5.base.GoalProblem_NOT_INSTALLED]
    problems = transaction.get_problems() & ~(libdnf5.base.GoalProblem_NOT_INSTALLED if only_upgrade else 0)
    if problems:
        return {"error": "; ".join(log.to_string() for log in logs if log.get_problem() & problems) or f"problem {problems}"}
    rows, files = [], []
    for item in transaction.get_transaction_packages():
        action, package = libdnf5.transaction.transaction_item_action_to_string(item.get_action()), item.get_package()
        if action not in WORDS:  # Replaced: told by what replaces it
            continue
        rows.append([WORDS[action], package.get_name(), package.get_arch(), package.get_evr()])
        if action not in ("Remove", "Reason Change"):
            files.append([package.get_name(), package.get_package_path()])
        for old in item.get_replaces():
            word = GONE.get(action, "OBSOLETED") if old.get_name() == package.get_name() else "OBSOLETED"
            rows.append([word, old.get_name(), old.get_arch(), old.get_evr()])
    return {
        "rows": rows, "files": files, "read": sorted(name for name, is_read in lists.items() if is_read),
        "ignored": sorted(name for name, is_read in lists.items() if not is_read), "not_installed": left_out,
    }


def main() -> None:
    """Answer a request (`packages` and `only_upgrade`, JSON, the only argument) with one line of JSON: `answer` or `error`."""
    request = json.loads(sys.argv[1])
    try:
        import libdnf5.base  # pylint: disable=import-outside-toplevel

        base = libdnf5.base.Base()
        base.load_config()
        found = answer(base, request["packages"], request["only_upgrade"])
    except ImportError as error:
        found = {"error": f"the Python bindings of dnf 5 are missing ({error}); install python3-libdnf5"}
    except Exception as error:  # libdnf5's own errors, and whatever its plugins and its C++ code raise: all are told, none is handled
        found = {"error": str(error) or type(error).__name__}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
