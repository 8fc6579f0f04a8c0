"""The coverage of a year's updates: changelogs, lists of packages, and what is counted from them."""

import datetime
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "coverage"))

from vmpcoverage import changelog, host, share  # noqa: E402

BASE_FILES = """\
base-files (13.8+deb13u2) trixie; urgency=medium

  * Change /etc/debian_version to 13.2, for Debian 13.2 point release.

 -- A Maintainer <a@example.org>  Fri, 07 Nov 2025 18:40:00 +0100

base-files (13.8+deb13u1) trixie; urgency=medium

 -- A Maintainer <a@example.org>  Sun, 24 Aug 2025 18:20:00 +0200

base-files (13.8) unstable; urgency=medium

 -- A Maintainer <a@example.org>  Mon, 12 May 2025 21:25:00 +0200
"""
POINTS = [datetime.date(2025, 9, 6), datetime.date(2025, 11, 15)]
LISTS = """\
Package: qemu-system-x86
Source: qemu
Version: 1:10.0.2+ds-2
Depends: libc6 (>= 2.38), libglib2.0-0t64 (>= 2.83.0) | libglib2.0-0, seabios (>= 1.16), libnone1
Section: otherosfs
Size: 1000

Package: libc6
Source: glibc
Version: 2.41-12
Depends: libgcc-s1
Section: libs
Size: 900

Package: libgcc-s1
Source: gcc-14 (14.2.0-19)
Version: 14.2.0-19+b1
Section: libs
Size: 800

Package: libglib2.0-0t64
Source: glib2.0
Version: 2.84.4-3
Pre-Depends: libc6:any
Section: non-free-firmware/libs
Description: one
 continued: with a colon
Size: 700

Package: seabios
Version: 1.16.3-2
Depends: libunrelated1
Section: otherosfs
Size: 600

Package: libunrelated1
Version: 1
Section: libs
Size: 500
"""


def upload(version, distributions, day, hour=12):
    return changelog.Upload(version, tuple(distributions.split()), datetime.datetime.combine(day, datetime.time(hour), datetime.UTC))


def test_a_changelog_is_read_the_newest_first():
    found = changelog.parse(BASE_FILES)
    assert [(one.version, one.distributions) for one in found] == [("13.8+deb13u2", ("trixie",)), ("13.8+deb13u1", ("trixie",)), ("13.8", ("unstable",))]
    assert found[0].time.isoformat() == "2025-11-07T18:40:00+01:00"


def test_an_entry_without_a_readable_date_is_left_out():
    text = "a (2) trixie; urgency=low\n\n -- A <a@example.org>  someday\n\n"
    text += "a (1) trixie; urgency=low\n\n -- A <a@example.org>  Fri, 07 Nov 2025 18:40:00 +0100\n"
    assert [one.version for one in changelog.parse(text)] == ["1"]


def test_point_releases_are_known_by_base_files():
    # Debian 13.1 and 13.2 came out on these days.
    assert changelog.point_releases(changelog.parse(BASE_FILES), "trixie") == POINTS


@pytest.mark.parametrize(
    ("uploads", "listed", "days"),
    [
        pytest.param([upload("1", "trixie-security", datetime.date(2025, 9, 8))], (), {datetime.date(2025, 9, 8)}, id="security, at once"),
        pytest.param(
            [upload("1", "trixie", datetime.date(2025, 9, 8)), upload("2", "trixie", datetime.date(2025, 10, 8))], (), {POINTS[1]}, id="one point release",
        ),
        pytest.param([upload("1", "trixie", POINTS[0])], (), {POINTS[0]}, id="its very day"),
        pytest.param([upload("1", "trixie", datetime.date(2025, 12, 1))], (), set(), id="not out yet"),
        pytest.param([upload("1", "unstable", datetime.date(2025, 9, 8))], (), set(), id="of another release"),
        pytest.param([upload("1", "bookworm-security", datetime.date(2025, 9, 8))], (), set(), id="security of another release"),
        pytest.param([upload("1", "trixie-backports", datetime.date(2025, 9, 8))], (), set(), id="backports"),
        pytest.param([upload("1", "unstable", datetime.date(2025, 9, 8))], ("1",), {POINTS[1]}, id="listed, whatever its entry says"),
        pytest.param(
            [upload("6.12.1-1", "trixie-security", datetime.date(2025, 9, 8)), upload("6.12.1+1", "trixie-security", datetime.date(2025, 9, 8))], (),
            {datetime.date(2025, 9, 8)}, id="one upload under two versions",
        ),
    ],
)  # fmt: skip
def test_days_on_which_hosts_got_an_update(uploads, listed, days):
    assert changelog.update_days(uploads, "trixie", listed, POINTS) == days


def test_a_list_is_read():
    found = {binary.name: binary for binary in host.parse_list(LISTS)}
    assert found["libc6"] == host.Binary("libc6", "2.41-12", "glibc", "2.41-12", "libs", "libgcc-s1", 900)
    assert (found["libgcc-s1"].source, found["libgcc-s1"].source_version) == ("gcc-14", "14.2.0-19")
    assert (found["seabios"].source, found["seabios"].source_version) == ("seabios", "1.16.3-2")
    assert found["libglib2.0-0t64"].section == "libs"


def test_code_of_qemu_is_its_libraries_and_theirs():
    assert host.qemu_code({binary.name: binary for binary in host.parse_list(LISTS)}) == {"libc6", "libgcc-s1", "libglib2.0-0t64"}


@pytest.mark.parametrize(
    ("names", "technique"),
    [
        (["curl"], "live"),
        (["libc-bin", "libc6"], "refresh"),
        (["linux-image-amd64", "linux-image-6.12.1+deb13-amd64"], "reboot"),
        (["frr"], "pause"),
        (["nftables"], "live"),
    ],
)
def test_an_update_needs_what_the_strongest_of_its_packages_needs(names, technique):
    assert share.technique(names, {"libc6"}) == technique


def test_a_patch_day_needs_the_strongest_of_what_has_come():
    until = datetime.date(2026, 11, 26)
    days_before = [(0, "live"), (6, "refresh"), (7, "live"), (363, "reboot")]
    updates = [share.Update("a", until - datetime.timedelta(days=days), technique) for days, technique in days_before]
    assert share.patch_days(updates, until, 7) == {"refresh": 1, "live": 1, "reboot": 1, "nothing": 49}
    assert share.patch_days(updates, until, 28) == {"refresh": 1, "reboot": 1, "nothing": 11}


def test_the_table_has_shares_and_names():
    until = datetime.date(2026, 11, 26)
    updates = [share.Update("linux", until, "reboot"), *(share.Update(name, until, "live") for name in ("b", "a", "a"))]
    lines = share.table("Debian 13", updates, until).splitlines()
    assert "| live | 3 | 75 % | 0 | 0 | a 2, b 1 |" in lines
    assert "| reboot | 1 | 25 % | 1 | 1 | linux 1 |" in lines
    assert "| together | 4 | | 52 | 13 | |" in lines
    assert len({line.count("|") for line in lines}) == 1
