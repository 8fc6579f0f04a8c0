# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dnf would do, asked of its own Python bindings. Runs by itself, under the Python that dnf runs under; see _dnf.

dnf's command line tells the same only as a table for people, whose lines break where the names are long. Nothing is downloaded or
changed: the lists of the repositories are those in dnf's cache.
"""
from __future__ import annotations

import json
import sys
import typing as t


def answer(base: t.Any, packages: list[str], only_upgrade: bool = True) -> dict:
    """What an update would do.

    :param base: A `dnf.Base` with its configuration read.
    :param packages: Package specifications; none: everything that can be upgraded.
    :param only_upgrade: Whether what is not installed is left out.
    :returns: `rows`: `[action, name, architecture, version]` of each package in the transaction, in the words of libdnf's
        `TransactionItemAction`; `files`: `[name, path]`, where each package that comes is once it is downloaded; `read`: the repositories whose list
        is in the cache; `ignored`: those whose list is not, and that the configuration allows to be missing (`skip_if_unavailable`);
        `not_installed`: the specifications that are left out.
    :raises Exception: dnf refuses; mostly a `dnf.exceptions.Error`.
    """
    import dnf.exceptions  # pylint: disable=import-outside-toplevel
    import dnf.transaction  # pylint: disable=import-outside-toplevel
    import libdnf.transaction  # pylint: disable=import-outside-toplevel

    base.conf.cacheonly = True
    # The newest or an error for what is named; of everything, what cannot be upgraded is left as it is.
    base.conf.best = bool(packages)
    base.init_plugins()  # versionlock, for one
    base.pre_configure_plugins()
    base.read_all_repos()
    base.configure_plugins()
    enabled = {repo.id for repo in base.repos.iter_enabled()}
    base.fill_sack()
    read = {repo.id for repo in base.repos.iter_enabled()}
    not_installed = []
    for spec in packages:
        try:
            if only_upgrade:
                base.upgrade(spec)
            else:
                base.install(spec)
        except dnf.exceptions.PackagesNotInstalledError:
            not_installed.append(spec)
    if not packages:
        base.upgrade_all()
    base.resolve()
    prefix = "TransactionItemAction_"
    words = {getattr(libdnf.transaction, name): name[len(prefix):] for name in dir(libdnf.transaction) if name.startswith(prefix)}
    return {
        "rows": [[words[item.action], item.name, item.arch, item.evr] for item in base.transaction],
        "files": [[item.name, item.pkg.localPkg()] for item in base.transaction if item.action in dnf.transaction.FORWARD_ACTIONS],
        "read": sorted(read),
        "ignored": sorted(enabled - read),
        "not_installed": not_installed,
    }


def main() -> None:
    """Answer a request (`packages` and `only_upgrade`, JSON, the only argument) with one line of JSON: `answer` or `error`."""
    request = json.loads(sys.argv[1])
    try:
        import dnf  # pylint: disable=import-outside-toplevel

        with dnf.Base() as base:
            base.conf.read()
            base.conf.substitutions.update_from_etc(base.conf.installroot, varsdir=base.conf.varsdir)
            found = answer(base, request["packages"], request["only_upgrade"])
    except ImportError as error:
        found = {"error": f"the Python bindings of dnf 4 are missing ({error})"}
    except Exception as error:  # dnf's own errors, and whatever its plugins and its C code raise: all are told, none is handled
        found = {"error": str(error) or type(error).__name__}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
