# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements of a page, as text: the little that pictures of plans need."""

from __future__ import annotations

from html import escape
from typing import Union

Value = Union[str, int, float]
_VOID = ("meta",)


def element(tag: str, /, *children: str, **attributes: Value) -> str:
    """Return an element; children are markup, attribute values are text. ``class_`` and ``data_x`` lose their ``_``."""
    written = "".join(f' {_attribute(key)}="{_value(value)}"' for key, value in attributes.items())
    if tag in _VOID:
        return f"<{tag}{written}/>"
    # Always with an end: to a reader of HTML, <div/> would go on.
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def svg_text(content: object) -> str:
    """Return any text as markup."""
    return escape(str(content))


def label(content: object, x: float, y: float, **attributes: Value) -> str:
    """Return a text of a picture at a point."""
    return element("text", svg_text(content), x=x, y=y, **attributes)


def box(x: float, y: float, width: float, height: float, *children: str, **attributes: Value) -> str:
    """Return a rectangle of a picture."""
    return element("rect", *children, x=x, y=y, width=max(0.0, width), height=height, **attributes)


def picture(width: float, height: float, name: str, *children: str) -> str:
    """Return a picture that takes the width of the page; ``name`` is what it shows, for those who do not see it."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        role="img",
        aria_label=name,
        xmlns="http://www.w3.org/2000/svg",
    )


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: Value) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else escape(str(value))
