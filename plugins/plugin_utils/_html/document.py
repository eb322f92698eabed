# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page that needs nothing but itself."""

from __future__ import annotations

from markupsafe import Markup

from .render import render


def document(title: str, *children: str, style: str = "") -> str:
    """Return the page; ``children`` are markup, ``style`` adds to the looks that all pages share."""
    return str(render("document.html.j2", title=title, content=Markup("".join(children)), style=Markup(style)))
