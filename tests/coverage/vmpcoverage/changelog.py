"""Uploads of a source package, read from its changelog, and when hosts got them. Pure."""

import datetime
import email.utils
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

# deb-changelog(5): "name (version) distributions; metadata", then details, then " -- maintainer <address>  date".
_HEADER = re.compile(r"^\S+ \((?P<version>[^)]+)\)(?P<distributions>[^;]*);")
_TRAILER = re.compile(r"^ -- .*>  ?(?P<time>\S.*)$")
#: A point release is on the first Saturday that is so many days or more after the upload of its base-files.
_NOTICE = datetime.timedelta(days=7)
_SATURDAY = 5


class Upload(NamedTuple):
    """One entry of a changelog."""

    version: str
    distributions: tuple[str, ...]
    time: datetime.datetime


def parse(text: str) -> list[Upload]:
    """The entries of a changelog, the newest first. One without a readable date is left out: there are such from long ago."""
    found = []
    header = None
    for line in text.splitlines():
        header = _HEADER.match(line) or header
        trailer = _TRAILER.match(line)
        if trailer and header:
            try:
                time = email.utils.parsedate_to_datetime(trailer["time"])
            except ValueError:
                continue
            found.append(Upload(header["version"], tuple(header["distributions"].split()), time))
            header = None
    return found


def point_releases(base_files: Iterable[Upload], suite: str) -> list[datetime.date]:
    """The days of a release's point releases, the oldest first. base_files: the uploads of that source package, which each of them changes."""
    earliest = [upload.time.date() + _NOTICE for upload in base_files if upload.distributions == (suite,)]
    return sorted(day + datetime.timedelta(days=(_SATURDAY - day.weekday()) % 7) for day in earliest)


def update_days(uploads: Iterable[Upload], suite: str, listed: Collection[str], points: Collection[datetime.date]) -> set[datetime.date]:
    """The days on which hosts got an update of a source package.

    A security update reaches them on the day of its upload, anything else with the next point release, whatever was uploaded before it.

    uploads: from every changelog of the package that there is. suite: the release's codename. listed: the versions that the archive's lists have now: they
    count whatever distribution their entry names, because they did get into the release. points: the days of the point releases, the oldest first.
    """
    found = set()
    # The kernel's signed packages have the changelog of the unsigned ones, under other versions: an upload is known by its time.
    for upload in {upload.time: upload for upload in uploads}.values():
        day = upload.time.date()
        if f"{suite}-security" in upload.distributions:
            found.add(day)
        elif upload.version in listed or suite in upload.distributions:
            found.update([point for point in points if point >= day][:1])
    return found
