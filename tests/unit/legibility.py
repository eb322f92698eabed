# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a page can be read: as wide as its window, letters of a size that can be read, and enough contrast."""

from __future__ import annotations

import json
from pathlib import Path

from .browser import opened

WIDTHS = (360, 768, 1280)
COLOURS = ("light", "dark")
LEAST_PIXELS = 12.0
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3, level AA, for text of any size

# Every text, in details that are opened too, with its size and its contrast to the ground that is drawn under its
# middle, by WCAG's formula for relative luminance. A shape of a picture is ground by its fill, a box by its background.
_TEXTS = r"""
JSON.stringify((() => {
  const parse = colour => (colour.match(/[\d.]+/g) || []).map(Number);
  const solid = colour => { const c = parse(colour); return c.length >= 3 && (c.length < 4 || c[3] === 1); };
  const linear = v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const luminance = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const contrast = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05); };
  document.querySelectorAll('details').forEach(details => { details.open = true; });
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const holder = node.parentElement;
    if (!node.data.trim() || holder.closest('title, style, script')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    if (!range.getClientRects().length) continue;
    let box;
    for (const inline of ['center', 'start']) {
      holder.scrollIntoView({block: 'center', inline});
      box = range.getClientRects()[0];
      if (box.x + box.width / 2 > 0 && box.x + box.width / 2 < innerWidth) break;
    }
    const drawn = getComputedStyle(holder), svg = holder.namespaceURI.endsWith('svg');
    const scale = svg ? Math.hypot(holder.getScreenCTM().a, holder.getScreenCTM().b) : 1;
    const text = parse(svg ? drawn.fill : drawn.color);
    let ground = null;
    for (const under of document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)) {
      const style = getComputedStyle(under);
      const colour = under.localName === 'rect' ? style.fill : style.backgroundColor;
      if (under !== holder && under.localName === 'text') continue;
      if (solid(colour)) { ground = parse(colour); break; }
    }
    found.push({text: node.data.trim(), pixels: parseFloat(drawn.fontSize) * scale,
      contrast: ground ? contrast(text, ground) : null});
  }
  return found;
})())
"""


def unreadable(file: Path, width: int, colours: str) -> list[str]:
    """Return a sentence per fault of a page in a window ``width`` pixels wide; ``colours`` are light or dark.

    A page that shows no text at all has a fault, too.
    """
    with opened(file, width=width) as page:
        page.window(width, 900)
        page.colours(colours)
        page_width = page.evaluate("document.documentElement.scrollWidth")
        texts = json.loads(page.evaluate(_TEXTS))
        requests, complaints = page.requests, page.complaints
    faults = [f"the page is {page_width} pixels wide in a window of {width}"] if page_width > width else []
    faults += [f"the page asks for {request}" for request in requests if request != file.as_uri()]
    faults += [f"the browser complains: {complaint}" for complaint in complaints]
    faults += [] if texts else ["the page shows no text"]
    for text in texts:
        if text["pixels"] < LEAST_PIXELS:
            faults.append(f"{text['text']!r} is {text['pixels']:.1f} pixels high")
        if text["contrast"] is None:
            faults.append(f"{text['text']!r} has no ground that could be found")
        elif text["contrast"] < LEAST_CONTRAST:
            faults.append(f"{text['text']!r} has a contrast of {text['contrast']:.2f}")
    return faults
