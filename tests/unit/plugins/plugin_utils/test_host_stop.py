# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_stop: who is shut down, the last resort before a refusal."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.host_stop import CANNOT_BE_KEPT, OF_ALL, guests_to_stop

#: Blockers that pass, or of which a start would die as well.
OTHERS = ("job", "block_job", "migration", "fake_reboot", "no_answer", "status_unknown", "not_running", "managed", "missing", "replaced", "unsupported", "cpu",
          "quiesce", "memory_backing_dir", "of a later release")


def judged(*codes, name="gpu"):
    return {"name": name, "uuid": f"u-{name}", "files": [{"path": f"/{name}"}], "blockers": [{"code": code, "message": f"because of {code}"} for code in codes]}


@pytest.mark.parametrize(("codes", "why"), [
    ([], None),
    (["passthrough"], "because of passthrough"),
    (["not_migratable", "invtsc"], "because of not_migratable, because of invtsc"),
    # Of all guests together: those that are left are judged anew.
    (["passthrough", "pause_limit", "host_disk"], "because of passthrough"),
    (["pause_limit"], None), (["host_memory"], None),
    # It would be stopped in the middle of something.
    (["passthrough", "job"], None), (["job"], None), (["passthrough", "managed"], None), (["missing", "passthrough"], None),
])
def test_only_what_cannot_be_kept_is_shut_down(codes, why):
    found = guests_to_stop({"guests": [judged(*codes)]}, ["u-gpu"])
    assert found == ([] if why is None else [{"name": "gpu", "uuid": "u-gpu", "why": why, "files": [{"path": "/gpu"}]}])


def test_a_refresh_is_about_the_guests_that_are_moved():
    both = {"guests": [judged("passthrough", name="a"), judged("passthrough", name="b")]}
    assert [one["name"] for one in guests_to_stop(both, ["u-a", "u-b"], moved=["u-b"])] == ["b"]
    assert [one["name"] for one in guests_to_stop(both, ["u-a", "u-b"], moved=[])] == []


def test_a_module_that_could_not_judge_shuts_nobody_down():
    assert guests_to_stop({"failed": True, "msg": "libvirt cannot be reached"}, ["u-gpu"]) == []


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.lists(st.sampled_from([*CANNOT_BE_KEPT, *OF_ALL, *OTHERS]))), unique_by=lambda one: one[0]),
       st.sets(st.sampled_from([f"u-{name}" for name in "abcdef"])))
def test_never_without_leave_and_never_for_what_passes(guests, may_stop):
    found = {one["uuid"] for one in guests_to_stop({"guests": [judged(*codes, name=name) for name, codes in guests]}, may_stop)}
    assert found <= may_stop
    for name, codes in guests:
        if f"u-{name}" in found:
            assert set(codes) & set(CANNOT_BE_KEPT) and not set(codes) & set(OTHERS)
