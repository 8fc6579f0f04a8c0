# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the page of a report looks: light and dark, on a screen and on paper. One style sheet, whose hash is in the page's policy."""
from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --back: #fff; --panel: #f5f6f8; --line: #d5d9e0; --text: #1c2330; --soft: #566074; --link: #1a56b0;
  --work: #9aa5b8; --wait: #c9b458; --pause: #2463c4; --move: #7a4cc2; --boot: #0f7f86;
  --good: #1a7f37; --warn: #9a6700; --bad: #c4261d; --limit: #c4261d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #12161d; --panel: #1b212b; --line: #343d4c; --text: #e4e8ef; --soft: #a0aabb; --link: #7fb0ff;
    --work: #66728a; --wait: #c7ae45; --pause: #6ea3f5; --move: #b491f0; --boot: #4cc0c7;
    --good: #4ec26f; --warn: #e0b040; --bad: #ff7b72; --limit: #ff7b72;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: 1.5rem; background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
p { margin: .3rem 0; }
a { color: var(--link); }
code { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.verdict { font-size: 1.1rem; font-weight: 600; margin: .8rem 0; padding: .5rem .8rem; border-left: .35rem solid currentColor; background: var(--panel); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .7rem; }
.tile { background: var(--panel); border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.35rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
td:first-child { min-width: 6rem; }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
td, dd, li, summary, p { overflow-wrap: anywhere; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; font-weight: 600; }
summary .soft { font-weight: 400; }
ul { margin: .3rem 0; padding-left: 1.2rem; }
svg { display: block; max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--text); }
svg .soft { fill: var(--soft); }
svg .grid { stroke: var(--line); }
.work { fill: var(--work); } .wait { fill: var(--wait); } .pause { fill: var(--pause); } .refresh { fill: var(--move); } .reboot { fill: var(--boot); }
.track { fill: var(--line); } .near { fill: var(--warn); } .over { fill: var(--bad); } .limit { stroke: var(--limit); stroke-width: 2; }
.legend svg { display: inline; vertical-align: -2px; margin: 0 .3rem 0 .9rem; }
footer { margin-top: 2rem; border-top: 1px solid var(--line); padding-top: .6rem; color: var(--soft); font-size: 13px; }
@media print {
  :root {
    --back: #fff; --panel: #fff; --line: #bbb; --text: #000; --soft: #444; --link: #000;
    --work: #999; --wait: #b59b2a; --pause: #2463c4; --move: #7a4cc2; --boot: #0f7f86; --good: #1a7f37; --warn: #9a6700; --bad: #c4261d; --limit: #c4261d;
  }
  body { max-width: none; padding: 0; font-size: 11px; }
  table { font-size: 10px; }
  details { border: 0; padding: 0; }
  details::details-content { content-visibility: visible; block-size: auto; }
  tr, svg, .tile { break-inside: avoid; }
  thead { display: table-header-group; }
  .screen { display: none; }
}
"""
