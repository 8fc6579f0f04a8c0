"""Write the changelog that a release of the checkout would have, from the version in its galaxy.yml and its fragments. Nothing is released by it.

    changelog.py CHECKOUT FILE

antsibull-changelog's own `release` would ask ansible-doc for new plugins first, which takes long; our fragments name them.
"""

from __future__ import annotations

import datetime
import shutil
import sys
import tempfile
from pathlib import Path

from antsibull_changelog.changes import add_release, load_changes
from antsibull_changelog.config import ChangelogConfig, CollectionDetails, PathsConfig
from antsibull_changelog.fragment import load_fragments
from antsibull_changelog.rendering.changelog import generate_changelog


def changelog(checkout: Path) -> str:
    """Return the changelog, in reStructuredText. It is made in a copy, because a release removes the fragments."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy2(checkout / "galaxy.yml", folder)
        shutil.copytree(checkout / "changelogs", Path(folder, "changelogs"))
        paths = PathsConfig.force_collection(folder)
        collection = CollectionDetails(paths)
        config = ChangelogConfig.load(paths, collection)
        changes = load_changes(config)
        version = str(collection.get_version())
        if version not in changes.releases:
            add_release(config, changes, [], load_fragments(paths, config), version, None, datetime.date.today())
        for output in config.output:
            generate_changelog(paths, config, changes, output, flatmap=False)
        return Path(folder, "CHANGELOG.rst").read_text(encoding="utf-8")


def main() -> None:
    """Do what the command line asks."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    Path(sys.argv[2]).write_text(changelog(Path(sys.argv[1])), encoding="utf-8")


if __name__ == "__main__":
    main()
