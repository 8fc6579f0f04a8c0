# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: bring the lab up, run faults, print the table."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import faults_agents, faults_clocks, faults_commands, faults_devices, faults_guests, faults_host, faults_ledger, faults_processes, report
from . import faults_owners, faults_refresh, faults_restarts, faults_saved
from .catalogue import FAULTS, Fault
from .errors import Broken
from .host import Host
from .operator import ROOT, Operator

LAB = ROOT / "tests" / "lab" / "lab"
OUT = ROOT / ".build" / "chaos"
#: Imported for the faults that they put on the list.
_SUBJECTS = (
    faults_processes, faults_guests, faults_host, faults_ledger, faults_commands, faults_agents, faults_devices, faults_clocks, faults_owners, faults_saved,
    faults_refresh, faults_restarts,
)  # fmt: skip


def one(fault: Fault, host: Host, operator: Operator) -> report.Row:
    """Run one fault and judge it."""
    began = time.monotonic()
    stage = fault.stage(host, operator, fault.limit)
    told, verdict, problem = "", None, ""
    try:
        told = fault.act(stage)
    except Broken as error:
        problem = str(error)
    except Exception as error:  # a mistake of ours must not hide the other faults
        problem = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    try:
        # Also after a failure: the promise is about the guests, whatever else went wrong.
        verdict = stage.judge()
    except Exception as error:
        problem = problem or f"it could not be judged: {error}"
    return report.Row(fault.name, fault.text, fault.limit, round(time.monotonic() - began, 1), told, verdict, problem)


def run(chosen: list[Fault], name: str) -> list[report.Row]:
    """Run faults on a host of the lab.

    :param name: The host.
    """
    rows: list[report.Row] = []
    began = time.monotonic()
    # The path of a control socket has to be short.
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        host, operator = Host(name, Path(folder)), Operator(name, Path(folder))
        for number, fault in enumerate(chosen, 1):
            row = one(fault, host, operator)
            rows.append(row)
            said = f" {row.problem}" if row.problem else ""
            print(
                f"[{time.monotonic() - began:6.1f} s] {number:2}/{len(chosen)} {'RED' if row.red else 'ok ':3} {fault.name:<34} "
                f"({row.seconds:.1f} s) past {row.past()}; touched {row.touched()}{said}", flush=True,
            )
        if chosen[-1].last:
            subprocess.run([LAB, "reset", name], check=True)
        else:
            host.call("clean")
        operator.disconnect()
    return rows


def choose(names: list[str], fast: bool) -> list[Fault]:
    """The faults to run, those that take the host with them last."""
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise SystemExit(f"there is no fault {', '.join(unknown)}; --list shows them")
    chosen = [fault for fault in FAULTS.values() if (fault.name in names if names else fault.fast or not fast)]
    return sorted(chosen, key=lambda fault: fault.last)


def main() -> int:
    """The program. Returns its exit code: 1 when a row is red."""
    parser = argparse.ArgumentParser(prog="chaos", description="Break everything that a pause window relies on, on the lab.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these faults")
    parser.add_argument("--fast", action="store_true", help="a subset of about three minutes")
    parser.add_argument("--list", action="store_true", help="show the faults and end")
    parser.add_argument("--host", default=os.environ.get("CHAOS_HOST", "h1"), help="host of the lab (default: CHAOS_HOST or %(default)s)")
    options = parser.parse_args()
    chosen = choose(options.names, options.fast)
    if options.list:
        for fault in chosen:
            print(f"{fault.name:<34} {'fast' if fault.fast else '':<5} {fault.text}")
        return 0
    if subprocess.run([LAB, "up"], check=False).returncode:
        return 1
    rows = run(chosen, options.host)
    report.write(OUT, rows)
    failed = sum(row.red for row in rows)
    print(f"\n{report.table(rows)}\n\nIn full: {(OUT / 'chaos.md').relative_to(ROOT)}\n{len(rows) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
