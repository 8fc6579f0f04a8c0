"""The command line."""

import datetime
import os
import sys
from pathlib import Path

from . import changelog, host, share
from .archive import Archive
from .errors import CoverageError

_RELEASES = {"Debian 12": "bookworm", "Debian 13": "trixie"}
_HOST = Path(__file__).parent.parent / "packages.txt"


def main() -> int:
    """Print the table of each release. Returns the exit status."""
    cache = Path(os.environ.get("VMP_LAB_CACHE") or "/var/cache/vm-preserving-lab") / "coverage"
    until = datetime.datetime.now(datetime.UTC).date()
    try:
        for release, suite in _RELEASES.items():
            print(f"\n{share.table(release, _updates(Archive(suite, cache / suite), suite, until), until)}", flush=True)
    except CoverageError as error:
        print(f"coverage: {error}", file=sys.stderr)
        return 1
    return 0


def _updates(archive: Archive, suite: str, until: datetime.date) -> list[share.Update]:
    archive.update()
    binaries = archive.binaries()
    asked = [line for line in _HOST.read_text().splitlines() if line and not line.startswith("#")]
    versions = archive.host_packages(asked)
    installed = {binary.name: binary for binary in binaries if versions.get(binary.name) == binary.version}
    code = host.qemu_code(installed)
    sources = share.by_source({name: binary.source for name, binary in installed.items()})
    listed = {(binary.source, binary.source_version) for binary in binaries if binary.source in sources}
    changelogs = archive.changelogs(listed, binaries)
    uploads = {source: [upload for key, text in changelogs.items() if key[0] == source for upload in changelog.parse(text)] for source in sources}
    points = changelog.point_releases(uploads["base-files"], suite)
    since = until - datetime.timedelta(days=share.DAYS - 1)
    found = []
    for source, names in sources.items():
        needs = share.technique(names, code)
        days = changelog.update_days(uploads[source], suite, {version for name, version in listed if name == source}, points)
        found += [share.Update(source, day, needs) for day in days if since <= day <= until]
    print(f"{suite}: {len(installed)} packages of {len(sources)} source packages, {len(code)} of them libraries of QEMU", file=sys.stderr, flush=True)
    return found
