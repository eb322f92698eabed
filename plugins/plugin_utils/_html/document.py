# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page that needs nothing but itself."""

from __future__ import annotations

from ansible_collections.llmops.inference.plugins.plugin_utils._html.svg import element, svg_text


def document(title: str, *children: str, style: str = "") -> str:
    """Return the page; ``children`` are markup, ``style`` adds to the looks that all pages share."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", svg_text(title)),
        f"<style>{STYLE}{style}</style>",
    )
    body = element("body", element("main", *children))
    html = element("html", head, body, lang="en", xmlns="http://www.w3.org/1999/xhtml")
    return f"<!DOCTYPE html>\n{html}\n"


STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --card: #ffffff; --ink: #1b2330; --quiet: #667085; --line: #e3e7ee;
  --weights: #3d5afe; --kv_cache: #14b8a6; --transient: #f5b13d; --persistent: #a78bfa; --graphs: #f472b6;
  --context: #64748b; --nccl: #94a3b8; --others: #c4cad4; --slack: #eef1f5;
  --good: #0f8a5f; --good-ground: #e2f6ed; --bad: #c2303f; --bad-ground: #fdebec; --warn: #9a6700;
  --warn-ground: #fff6db;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0f141b; --card: #171e28; --ink: #e6ebf2; --quiet: #93a0b4; --line: #2a3442;
    --weights: #6b85ff; --kv_cache: #2dd4bf; --transient: #fbbf4c; --persistent: #b79cff; --graphs: #f58ac2;
    --context: #8493a8; --nccl: #5d6b80; --others: #4a5667; --slack: #212a36;
    --good: #4ade9f; --good-ground: #12332a; --bad: #ff8590; --bad-ground: #3b1a20; --warn: #f4c95d;
    --warn-ground: #352b12;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 40px 24px 64px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1080px; margin: 0 auto; }
h1 { margin: 0 0 4px; font-size: 26px; letter-spacing: -.01em; }
h2 { margin: 0; font-size: 20px; letter-spacing: -.01em; }
h3 { margin: 0 0 2px; font-size: 15px; }
.quiet { color: var(--quiet); }
.host { margin-top: 36px; }
.host > header { display: flex; flex-wrap: wrap; gap: 6px 12px; align-items: baseline; margin-bottom: 14px; }
.verdict { padding: 2px 11px; border-radius: 99px; font-size: 13px; font-weight: 600; }
.fits { color: var(--good); background: var(--good-ground); }
.refused { color: var(--bad); background: var(--bad-ground); }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 18px 20px; margin-top: 14px;
}
.card > header { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 16px; margin-bottom: 8px; }
.card.bad { border-left: 4px solid var(--bad); }
.card.warn { border-left: 4px solid var(--warn); }
.card p { margin: 4px 0; }
.arithmetic { font-variant-numeric: tabular-nums; color: var(--quiet); }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
svg .seg { stroke: none; }
svg .in { font-size: 13px; font-weight: 600; text-anchor: middle; fill: #fff; pointer-events: none; }
svg .small { font-size: 12px; font-weight: 400; }
svg .transient-ink, svg .kv_cache-ink { fill: #10231f; }
svg .slack-ink, svg .others-ink, svg .reserve-ink { fill: var(--quiet); }
svg .bracket { fill: none; stroke: var(--quiet); stroke-width: 1.2; }
svg .name { font-size: 13px; font-weight: 600; text-anchor: middle; fill: var(--ink); }
svg .tick { stroke: var(--quiet); }
svg text.tick { stroke: none; fill: var(--quiet); font-size: 11.5px; }
.weights { fill: var(--weights); } .kv_cache { fill: var(--kv_cache); } .transient { fill: var(--transient); }
.persistent { fill: var(--persistent); } .graphs { fill: var(--graphs); } .context { fill: var(--context); }
.nccl { fill: var(--nccl); } .others { fill: var(--others); } .reserve { fill: var(--line); }
.slack { fill: var(--slack); }
.legend .slack { stroke: var(--others); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 14px 0 0; padding: 0; list-style: none; }
.legend li { display: flex; align-items: center; gap: 7px; color: var(--quiet); font-size: 13px; }
.legend svg { width: 12px; height: 12px; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { color: var(--quiet); font-weight: 500; text-align: left; }
th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
tr:last-child td, tr:last-child th { border-bottom: none; }
td.number, th.number { text-align: right; }
.source { color: var(--quiet); font-size: 11.5px; }
.why { white-space: normal; min-width: 260px; color: var(--quiet); }
.matrix { width: auto; margin: 12px auto 0; }
.matrix th, .matrix td { padding: 5px 12px; text-align: center; border-bottom: none; }
.matrix td.level { border-radius: 6px; font-weight: 600; }
.arc { fill: none; stroke-linecap: round; }
.arc.NVLINK { stroke: var(--kv_cache); stroke-width: 5; } .arc.PIX { stroke: var(--weights); stroke-width: 3.2; }
.arc.PXB { stroke: var(--persistent); stroke-width: 2.4; }
.arc.PHB { stroke: var(--transient); stroke-width: 1.6; }
td.NVLINK { color: var(--kv_cache); } td.PIX { color: var(--weights); } td.PXB { color: var(--persistent); }
td.PHB { color: var(--transient); } td.NODE, td.SYS, td.same { color: var(--quiet); }
.numa { fill: var(--ground); stroke: var(--line); }
.numa-name { font-size: 12px; fill: var(--quiet); text-anchor: middle; }
.chip { stroke-width: 2; stroke: var(--weights); fill: var(--card); }
.chip.idle { stroke: var(--others); } .chip.degraded { stroke: var(--transient); }
.chip.failed { stroke: var(--bad); stroke-dasharray: 4 3; }
.chip-index { font-size: 20px; font-weight: 700; text-anchor: middle; fill: var(--ink); }
.chip-memory { font-size: 11.5px; text-anchor: middle; fill: var(--quiet); }
.chip-name { font-size: 12px; text-anchor: middle; fill: var(--ink); }
"""
