# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page of a report adds to the looks that all pages share."""

REPORT_STYLE = """
:root {
  --series-1: #3d5afe; --series-2: #b45309; --series-3: #0f766e; --series-4: #9333ea; --series-5: #be185d;
  --series-6: #475569;
}
@media (prefers-color-scheme: dark) {
  :root {
    --series-1: #8aa0ff; --series-2: #f5b13d; --series-3: #2dd4bf; --series-4: #c99bff; --series-5: #f58ac2;
    --series-6: #a3b1c6;
  }
}
section { margin-top: 36px; }
section > h2 { margin-bottom: 4px; }
.better, .passed { color: var(--good); background: var(--good-ground); }
.worse, .failed { color: var(--bad); background: var(--bad-ground); }
.could-not-start, .not-measured { color: var(--warn); background: var(--warn-ground); }
.no-difference-shown { color: var(--quiet); background: var(--slack); }
.plot { overflow: visible; margin-top: 12px; }
tbody.group th.head { color: var(--ink); font-weight: 600; padding-top: 16px; }
tr.minor td, tr.minor th { color: var(--quiet); }
td .source { display: block; }
td .said { white-space: normal; min-width: 240px; }
td.why { font-size: 12.5px; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--quiet); }
@media print { body { padding: 0; } .card { break-inside: avoid; } details > * { display: block; } }
"""
