# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page that needs nothing but itself."""

from __future__ import annotations

from ansible_collections.llmops.inference.plugins.plugin_utils._style import STYLE
from ansible_collections.llmops.inference.plugins.plugin_utils._svg import element, text


def document(title: str, *children: str, style: str = "") -> str:
    """Return the page; ``children`` are markup, ``style`` adds to the looks that all pages share."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", text(title)),
        f"<style>{STYLE}{style}</style>",
    )
    body = element("body", element("main", *children))
    html = element("html", head, body, lang="en", xmlns="http://www.w3.org/1999/xhtml")
    return f"<!DOCTYPE html>\n{html}\n"
