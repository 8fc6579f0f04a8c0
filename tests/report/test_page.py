# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a report in a browser: what it shows, that nothing in it is obeyed, and that it can be used with many guests.

`make report` runs this. Pictures and the printed pages are left in .build/report, to be looked at.
"""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / ".build" / "report"
sys.path[:0] = [str(HERE), str(ROOT / ".build" / "src")]

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_model import story  # noqa: E402  (the path comes first)
from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.report_page import page  # noqa: E402
from ansible_collections.vm_preserving.maintenance.tests.unit.plugins.plugin_utils.report_made import fleet  # noqa: E402
from ansible_collections.vm_preserving.maintenance.tests.unit.plugins.plugin_utils.test_report import HOSTILE, hostile_events  # noqa: E402
from browser import Browser  # noqa: E402

#: Seconds of a processor that a page with 2000 guests may cost.
COST = 10


@pytest.fixture(scope="module")
def browser():
    OUT.mkdir(parents=True, exist_ok=True)
    with Browser() as one:
        yield one


def written(name, events):
    path = OUT / f"{name}.html"
    path.write_text(page(story(events), f"{name}.jsonl", "0" * 64), encoding="utf-8", errors="strict")
    return path


def five():
    return fleet(5, 1, 1)


def two_thousand():
    return fleet(5, 20, 20)


@pytest.mark.parametrize(("name", "events", "guests"), [("five", five, 5), ("two-thousand", two_thousand, 2000), ("hostile", hostile_events, 0)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_shown(browser, name, events, guests, scheme):
    path = written(name, events())
    browser.complaints.clear()
    browser.requests.clear()
    browser.page(path, scheme)
    browser.screenshot(OUT / f"{name}-{scheme}.png", whole=guests <= 100)
    assert browser.worked() < COST
    assert browser.complaints == [] and browser.requests == []

    # The style sheet is in force: the policy would forbid another one, and then all of it.
    light = browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light is (scheme == "light")
    assert browser.value("document.documentElement.scrollWidth <= innerWidth"), "wider than the window"
    # In dark and light, what is written is to be told from what it is written on.
    assert browser.value(f"({CONTRAST})()") >= 4.5
    if guests:
        assert browser.value("[...document.querySelectorAll('details[id] > .scroll:first-of-type tbody tr')].length") == guests


#: The smallest contrast (WCAG 2) of a text and what is behind it, over all kinds of text of the page.
CONTRAST = """
() => {
  const bright = rgb => {
    const [r, g, b] = rgb.match(/[0-9.]+/g).map(Number).map(x => x / 255).map(x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = one => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
  };
  const found = new Map();
  for (const one of document.querySelectorAll('body *')) {
    const style = getComputedStyle(one), svg = one instanceof SVGElement;
    if (svg && one.tagName !== 'text') continue;
    found.set([svg ? style.fill : style.color, behind(one)].join(), [svg ? style.fill : style.color, behind(one)]);
  }
  return Math.min(...[...found.values()].map(([text, back]) => {
    const [one, other] = [bright(text), bright(back)].sort((a, b) => b - a);
    return (one + .05) / (other + .05);
  }));
}
"""


def test_what_is_hostile_is_text(browser):
    browser.page(written("hostile", hostile_events()))
    assert browser.value("document.querySelectorAll('script, img, iframe, object, link, form, [onload], [onerror], [onclick], [style], [src]').length") == 0
    assert HOSTILE[:40] in browser.value("document.body.innerText")
    assert browser.value("[...document.querySelectorAll('a')].every(one => document.getElementById(one.hash.slice(1)))")


def test_the_policy_holds(browser):
    """Should something get into a page all the same, it is not obeyed; and the browser says so."""
    path = written("broken-into", five())
    broken = "<script>document.title = 'broken'</script><img src=x onerror=\"document.title = 'broken'\"></body>"
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", broken), encoding="utf-8")
    browser.complaints.clear()
    browser.page(path)
    assert browser.value("document.title").startswith("Rollout report")
    assert len(browser.complaints) >= 2 and all("Content Security Policy" in one for one in browser.complaints)
    browser.complaints.clear()
    browser.requests.clear()


def test_it_prints_all_of_it(browser):
    browser.page(written("two-thousand", two_thousand()))
    assert browser.value("document.querySelectorAll('details[open]').length") == 0
    browser.printed(OUT / "two-thousand.pdf")
    browser.ask("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll('details[id]')].every(one => one.querySelector('tbody tr').checkVisibility({contentVisibilityAuto: true}))"
    assert browser.value(shown), "closed on paper"
    browser.ask("Emulation.setEmulatedMedia", media="")
    # On a screen they are closed.
    assert not browser.value(shown)
