# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements of a page, as text: the little that pictures of plans need."""

from __future__ import annotations

from typing import Union

from markupsafe import Markup, escape

Value = Union[str, int, float]


def element(tag: str, /, *children: str, **attributes: Value) -> Markup:
    """Return an element; children are markup, attribute values are text. ``class_`` and ``data_x`` lose their ``_``."""
    written = "".join(f' {_attribute(key)}="{_value(value)}"' for key, value in attributes.items())
    # Always with an end: to a reader of HTML, <div/> would go on.
    return Markup(f"<{tag}{written}>{''.join(children)}</{tag}>")


def svg_text(content: object) -> Markup:
    """Return any text as markup."""
    return escape(content)


def label(content: object, x: float, y: float, **attributes: Value) -> Markup:
    """Return a text of a picture at a point."""
    return element("text", svg_text(content), x=x, y=y, **attributes)


def box(x: float, y: float, width: float, height: float, *children: str, **attributes: Value) -> Markup:
    """Return a rectangle of a picture."""
    return element("rect", *children, x=x, y=y, width=max(0.0, width), height=height, **attributes)


def picture(name: str, *children: str, **attributes: Value) -> Markup:
    """Return a picture; ``name`` says to those who do not see it what it shows."""
    return element("svg", *children, role="img", aria_label=name, xmlns="http://www.w3.org/2000/svg", **attributes)


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: Value) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(escape(value))
