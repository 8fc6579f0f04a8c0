# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt's states mean to us: may a guest be paused, may it be resumed. Pure; knows no libvirt."""
from __future__ import annotations

import dataclasses
import typing as t

# libvirt's numbers (virDomainState, include/libvirt/libvirt-domain.h) to libvirt's own words.
STATES: dict[int, str] = {
    0: "nostate", 1: "running", 2: "blocked", 3: "paused", 4: "shutdown", 5: "shutoff", 6: "crashed", 7: "pmsuspended",
}
REASONS: dict[str, dict[int, str]] = {
    "running": {
        0: "unknown", 1: "booted", 2: "migrated", 3: "restored", 4: "from-snapshot", 5: "unpaused",
        6: "migration-canceled", 7: "save-canceled", 8: "wakeup", 9: "crashed", 10: "postcopy", 11: "postcopy-failed",
    },
    "paused": {
        0: "unknown", 1: "user", 2: "migration", 3: "save", 4: "dump", 5: "ioerror", 6: "watchdog", 7: "from-snapshot",
        8: "shutting-down", 9: "snapshot", 10: "crashed", 11: "starting-up", 12: "postcopy", 13: "postcopy-failed",
        14: "api-error",
    },
    # virDomainNostateReason, virDomainBlockedReason, virDomainShutdownReason, virDomainCrashedReason, virDomainPMSuspendedReason
    "nostate": {0: "unknown"},
    "blocked": {0: "unknown"},
    "shutdown": {0: "unknown", 1: "user"},
    "crashed": {0: "unknown", 1: "panicked"},
    "pmsuspended": {0: "unknown"},
    "shutoff": {
        0: "unknown", 1: "shutdown", 2: "destroyed", 3: "crashed", 4: "migrated", 5: "saved", 6: "failed", 7: "from-snapshot", 8: "daemon",
    },
}


@dataclasses.dataclass(frozen=True)
class State:
    """A guest's state and its reason in libvirt's words, for example `paused` and `user`."""

    state: str
    reason: str

    @classmethod
    def of(cls, state: int, reason: int) -> State:
        """From the two numbers that virDomainGetState gives.

        A reason that only a newer libvirt knows stays a number: it must not be taken for libvirt's own reason `unknown`.
        """
        word = STATES.get(state, "unknown")
        if word not in REASONS:
            return cls(word, "unknown")
        return cls(word, REASONS[word].get(reason, f"reason-{reason}"))

    @property
    def executes(self) -> bool:
        """Whether the vCPUs run. `blocked` is Xen's word for an idle running guest; libvirt's QEMU driver never says it."""
        return self.state in ("running", "blocked")

    def as_dict(self) -> dict[str, str]:
        """For a module's result."""
        return {"state": self.state, "reason": self.reason}


#: What owners do with their guests: state and reason in libvirt's words. Everything else that stops a guest is a fault, or not known.
OWNERS_ACTS = {
    ("paused", "user"), ("shutdown", "user"), ("pmsuspended", "unknown"), ("shutoff", "shutdown"), ("shutoff", "destroyed"), ("shutoff", "migrated"),
    ("shutoff", "saved"), ("shutoff", "from-snapshot"),
}


@dataclasses.dataclass(frozen=True)
class Blocker:
    """Why a guest cannot be paused.

    :ivar code: A stable word.
    :ivar message: The reason in words, and what to do.
    """

    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """For a module's result."""
        return {"code": self.code, "message": self.message}


@dataclasses.dataclass(frozen=True)
class GuestFacts:
    """What the preflight looks at.

    :ivar state: The state now.
    :ivar job: The running domain job in libvirt's words (`migration`, `save`, ...), or `None`.
    :ivar block_jobs: The disks (target names) that a block job works on.
    :ivar fake_reboot: libvirt's status file carries `<fakereboot/>`.
    :ivar opted_out: Its metadata says that it must not be paused.
    :ivar status_known: libvirt's status file could be read: without it identity and monitor are unknown.
    :ivar no_fallback: Why only libvirt could resume it, should libvirtd be gone at the deadline; `None`: QEMU's own monitor can be used.
    """

    state: State
    job: str | None = None
    block_jobs: tuple[str, ...] = ()
    fake_reboot: bool = False
    opted_out: bool = False
    status_known: bool = True
    no_fallback: Blocker | None = None


#: Blockers which mean "not this one" rather than "something is wrong": such a guest is left alone unless the operator named it.
LEAVE_ALONE = ("not_running", "opted_out")


def pause_blockers(facts: GuestFacts) -> list[Blocker]:
    """Everything that forbids pausing this guest; empty when it may be paused.

    The rules: a guest that does not execute is not ours to pause; one that opted out goes on running; one with a job is owned by whoever runs the job;
    one marked for a fake reboot is reset by a libvirtd that restarts while it is paused, which loses its memory.
    """
    found: list[Blocker] = []
    if not facts.state.executes:
        found.append(Blocker("not_running", f"it is {facts.state.state} ({facts.state.reason}), not running"))
        return found
    if facts.opted_out:
        found.append(Blocker("opted_out", "its metadata says that it must not be paused"))
        return found
    if facts.state.reason.startswith("postcopy"):
        found.append(Blocker("migration", "a post-copy migration is under way; wait for its end"))
    if facts.job is not None:
        found.append(Blocker("job", f"a {facts.job} job is running on it; wait for its end or abort it (virsh domjobabort)"))
    if facts.block_jobs:
        disks = ", ".join(facts.block_jobs)
        found.append(Blocker("block_job", f"a block job works on {disks}; wait for its end or abort it (virsh blockjob --abort)"))
    if facts.fake_reboot:
        found.append(Blocker(
            "fake_reboot",
            "it was asked to reboot and has not done so; if libvirtd restarted while it is paused, libvirt would reset it "
            "and its memory would be lost. Reboot or shut it down from inside first",
        ))
    if not facts.status_known:
        found.append(Blocker("status_unknown", "libvirt's status file of it cannot be read, so it could not be recognised again later"))
    return found


@dataclasses.dataclass(frozen=True)
class Sighting:
    """A guest of the ledger as it is found now.

    :ivar same_process: boot id, libvirt id, QEMU's pid and start time are those of the ledger.
    :ivar state: What libvirt says, or `None` when libvirt does not know the guest.
    :ivar token: The window id in the guest's LIVE metadata, or `None`.
    """

    same_process: bool
    state: State | None
    token: str | None


#: What may be done with a guest of the ledger.
Verdict = t.Literal["resume", "running", "gone", "not_ours"]


def resume_verdict(window_id: str, sighting: Sighting) -> tuple[Verdict, str]:
    """Whether a guest that the ledger names may be resumed, and why (not).

    Ownership (promise 2): it is resumed only when it is the same QEMU process of the same boot, is paused with reason
    `user`, and carries our window's token. Everything else is left exactly as it is.

    :param window_id: The window whose ledger entry this is.
    :returns: The verdict and the reason in words.
    """
    if sighting.state is None or sighting.state.state in ("shutoff", "crashed", "nostate"):
        return "gone", "it does not run any more"
    if not sighting.same_process:
        return "not_ours", "its QEMU is not the process that we paused"
    if sighting.state.executes:
        return "running", "it runs"
    if sighting.state.state != "paused":
        return "not_ours", f"it is {sighting.state.state} ({sighting.state.reason}), which we did not do"
    # "unknown": a libvirtd that was restarted under a paused guest may have forgotten the reason. The token decides then.
    if sighting.state.reason not in ("user", "unknown"):
        return "not_ours", f"it is paused by {sighting.state.reason}, not by us"
    if sighting.token != window_id:
        return "not_ours", "it does not carry our token, so somebody else paused it"
    return "resume", "it is paused by us"
