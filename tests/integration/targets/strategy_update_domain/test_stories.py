# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stories of rollouts, told in stories/*.yml, and played with the `ansible-playbook` that is found first.

Each host writes what it does to one log, in the order in which it happens. A story says what that log holds, how the run ends, and what
the operator sees. A play on all hosts is added behind the rollout, so that every story shows whether the playbook went on.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

HERE = Path(__file__).parent
STRATEGY = "vm_preserving.maintenance.update_domain"
AFTER = {"name": "Next play", "hosts": "all", "gather_facts": False, "tasks": [{"note": {"what": "after"}}]}


@dataclass(frozen=True)
class Story:
    """What is played, and what has to come of it. A story without `log` is played with core's linear strategy too, which has to do the same."""

    story: str
    play: dict  # the rollout: tasks, handlers, and keywords beside those that all have
    before: tuple = ()  # plays ahead of it
    files: dict = field(default_factory=dict)  # files to include: by name, their text
    inventory: str = ""  # its text, if it is not inventory.yml: YAML or a script
    args: tuple = ()
    core: str = ""  # the releases of ansible-core that do so, if not all
    exit: int = 0
    log: tuple | None = None  # entries {"what": "hosts"}: each on these hosts, in any order, and then the next
    says: tuple = ()
    never_says: tuple = ()
    retry: str = ""  # the hosts in the retry file


def stories(path: Path) -> list[Story]:
    """The stories of one file."""
    read = [Story(**{name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}) for entry in yaml.safe_load(path.read_text())]
    for story in read:
        # What stops a rollout has to tell why.
        assert story.log is None or story.exit == 0 or story.says, story.story
    return read


def core_release() -> Version:
    """The release of ansible-core that is tried; raises CalledProcessError if it does not run at all."""
    said = subprocess.run(["ansible-playbook", "--version"], check=True, capture_output=True, text=True).stdout
    return Version(re.search(r"\[core ([^]]+)]", said)[1])


def pytest_generate_tests(metafunc):
    """One test for each story that is about this release."""
    release = core_release()
    told = [(path, story) for path in sorted(HERE.glob("stories/*.yml")) for story in stories(path)]
    wanted = [(path, story) for path, story in told if (story.log is None) == (metafunc.function is test_as_linear)]
    chosen = [(path, story) for path, story in wanted if SpecifierSet(story.core).contains(release, prereleases=True)]
    metafunc.parametrize("story", [story for path, story in chosen], ids=[f"{release}-{path.stem}: {story.story}" for path, story in chosen])


@dataclass(frozen=True)
class Played:
    """What came of a run of ansible-playbook."""

    exit: int
    log: list[str]
    output: str  # by both streams
    retry: str

    def says(self, text: str) -> bool:
        """Whether the operator sees the text; line breaks do not matter, for Ansible wraps its warnings."""
        return text in " ".join(self.output.split())


def play(story: Story, strategy: str, folder: Path, *arguments: str, **settings: str) -> Played:
    """Run the story's playbook in the folder, with the settings as variables of the environment; raises TimeoutExpired if it hangs."""
    folder.mkdir()
    rollout = {"name": "Rollout", "hosts": "fleet", "strategy": strategy, "gather_facts": False, **story.play}
    (folder / "rollout.yml").write_text(yaml.safe_dump([*story.before, rollout, AFTER], sort_keys=False))
    for name, content in story.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    inventory = HERE / "inventory.yml"
    if story.inventory:
        script = story.inventory.startswith("#!")
        inventory = folder / ("inventory.sh" if script else "inventory.yml")
        inventory.write_text(story.inventory)
        inventory.chmod(0o700 if script else 0o600)
    (folder / "ansible.cfg").touch()  # no other one is looked for then
    log = folder / "log"
    log.touch()

    env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_") or name == "ANSIBLE_COLLECTIONS_PATH"}
    env |= {
        "LOG": str(log),
        "ANSIBLE_ACTION_PLUGINS": str(HERE / "action_plugins"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "0",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_DEVEL_WARNING": "0",
        **settings,
    }
    command = ["ansible-playbook", "-i", str(inventory), "rollout.yml", *story.args, *arguments]
    # Whatever its exit code is, the story judges it.
    done = subprocess.run(
        command, check=False, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180
    )
    print(done.stdout)
    print(log.read_text())
    assert "Traceback" not in done.stdout
    retry = folder / "rollout.retry"
    return Played(done.returncode, log.read_text().splitlines(), done.stdout, " ".join(sorted(retry.read_text().split())) if retry.exists() else "")


def hosts(names: str) -> list[str]:
    """The hosts of `a1 a2`, or of a range such as `h[001:100]`."""
    if match := re.fullmatch(r"(\w+)\[(\d+):(\d+)]", names):
        prefix, first, last = match.groups()
        return [f"{prefix}{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return names.split()


def grouped(log: list[str], expected: list[list[str]]) -> list[list[str]]:
    """The log cut as the expected one is, in pieces of which each is sorted; what is left over is the last."""
    pieces, start = [], 0
    for piece in expected:
        pieces.append(sorted(log[start:start + len(piece)]))
        start += len(piece)
    return pieces + ([log[start:]] if log[start:] else [])


def test_story(story, tmp_path):
    played = play(story, STRATEGY, tmp_path / "rollout")
    expected = [sorted(f"{what}: {host}" for host in hosts(names)) for entry in story.log for what, names in entry.items()]
    assert grouped(played.log, expected) == expected
    assert [text for text in story.says if not played.says(text)] == []
    assert [text for text in story.never_says if played.says(text)] == []
    assert played.exit == story.exit
    assert not story.retry or played.retry == story.retry


def test_as_linear(story, tmp_path):
    # One process at a time, so that the order of the lines is no matter of luck. That strategies of collections are deprecated is core's own word.
    arguments = ["--forks", "1", "-e", "update_domain_required=false"]
    core = play(story, "linear", tmp_path / "core", *arguments, ANSIBLE_DEPRECATION_WARNINGS="0")
    ours = play(story, STRATEGY, tmp_path / "ours", *arguments, ANSIBLE_DEPRECATION_WARNINGS="0")
    assert core.log  # else nothing was compared
    assert (ours.exit, ours.log, ours.retry) == (core.exit, core.log, core.retry)
    assert ours.output.replace(str(tmp_path / "ours"), "") == core.output.replace(str(tmp_path / "core"), "")
