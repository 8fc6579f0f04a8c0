# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files an update takes away: those that a package has now, and that neither its new version nor another package of the update brings."""
from __future__ import annotations

import os
import typing as t

from .package_manager import as_merged

#: More links than this are a circle; as Linux has it (include/linux/namei.h, MAXSYMLINKS).
_LINKS = 40
#: dpkg and rpm leave a configuration file, or put it aside, when the new version has none.
_CONFIGURATION = "/etc/"

#: What is in the new version of a package: by path the target of a symbolic link, `None` for any other file. `None` in its place: not downloaded.
Contents = t.Optional[t.Mapping[str, t.Optional[str]]]


class Wanted(t.NamedTuple):
    """A file that has to be there after the update.

    :ivar path: Where it is now.
    :ivar by_name: It is looked for by its name, in several folders.
    """

    path: str
    by_name: bool = False


class Update:
    """The packages of an update.

    :param going: The packages whose files go unless the update brings them anew: those that are installed and become others.
    :param coming: The packages that it brings, under the same name as what they replace.
    :param owners: Gives the packages that own paths now, by path.
    :param contents: Gives what is in a package that comes.
    """

    def __init__(
        self, going: t.Collection[str], coming: t.Collection[str], owners: t.Callable[[t.Sequence[str]], t.Mapping[str, t.Sequence[str]]],
        contents: t.Callable[[str], Contents],
    ) -> None:
        self._going = going
        self._coming = coming
        self._ask_owners = owners
        self._ask_contents = contents
        self._owners: dict[str, t.Sequence[str]] = {}
        self._contents: dict[str, Contents] = {}

    @property
    def unknown(self) -> list[str]:
        """Packages that had to be looked at and are not downloaded: what they bring is not known."""
        return sorted(name for name, found in self._contents.items() if found is None)

    def _owners_of(self, path: str) -> t.Sequence[str]:
        if path not in self._owners:
            self._owners[path] = self._ask_owners([path]).get(path, ())
        return self._owners[path]

    def _brought(self, package: str) -> t.Mapping[str, str | None]:
        if package not in self._contents:
            self._contents[package] = self._ask_contents(package)
        return self._contents[package] or {}

    def _step(self, path: str) -> tuple[t.Sequence[str], str | None]:
        """Who takes a path away, and where a symbolic link there leads afterwards."""
        owners = self._owners_of(path)
        goes = bool(owners) and all(one in self._going for one in owners) and not path.startswith(_CONFIGURATION)
        # The others are opened only when its own packages have lost it.
        for package in [*(one for one in self._coming if one in owners), *(one for one in self._coming if goes and one not in owners)]:
            brought = self._brought(package)
            if as_merged(path) in brought:
                return [], brought[as_merged(path)]
        if goes and not self.unknown:
            return owners, None
        return [], os.readlink(path) if os.path.islink(path) else None

    def _loses(self, wanted: Wanted) -> t.Sequence[str]:
        path = _in_real_folder(wanted.path)
        for _number in range(_LINKS):
            takers, link = self._step(path)
            if takers:
                return [] if wanted.by_name and self._brings_elsewhere(os.path.basename(wanted.path)) else takers
            if link is None:
                break
            path = _in_real_folder(os.path.join(os.path.dirname(path), link))
        return []

    def _brings_elsewhere(self, name: str) -> bool:
        return any(os.path.basename(path) == name for package in self._coming for path in self._brought(package))

    def lost(self, files: t.Sequence[Wanted]) -> list[tuple[str, list[str]]]:
        """The files that the update takes away, each with the packages that have it now. What cannot be told is not among them, see `unknown`."""
        if not self._going:
            return []
        paths = sorted({_in_real_folder(one.path) for one in files})
        found = self._ask_owners(paths)  # all at once: package managers take their time
        self._owners = {path: found.get(path, ()) for path in paths}
        return [(one.path, list(takers)) for one in files for takers in [self._loses(one)] if takers]


def _in_real_folder(path: str) -> str:
    """A path by the real name of its folder, as package managers know it. Folders are taken to stay what they are."""
    path = os.path.normpath(path)
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
