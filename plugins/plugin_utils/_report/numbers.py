# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimates in the words of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._values import GIB


def value_text(value: float, unit: str) -> str:
    """Return a value with its unit, in as many digits as a reader compares."""
    return _text([value], unit)


def estimate_text(estimate: Mapping[str, Any] | None, unit: str) -> str:
    """Return an estimate without its bounds; a dash where there is none."""
    return "–" if estimate is None else value_text(estimate["value"], unit)


def bounds_text(estimate: Mapping[str, Any] | None, unit: str) -> str:
    """Return the bounds of an estimate; empty where it has none."""
    if estimate is None or (estimate["low"] is None and estimate["high"] is None):
        return ""
    if estimate["high"] is None:
        return f"{value_text(estimate['low'], unit)} or more"
    return _text([estimate["low"], estimate["high"]], unit)


def _text(values: Sequence[float], unit: str) -> str:
    """Values in one scale, with their unit after the last."""
    largest = max(map(abs, values))
    scale, shown = {
        "s": (1.0, "s") if largest >= 0.9995 else (1000.0, "ms"),
        "share": (100.0, "%"),
        "bytes": (1 / GIB, "GiB"),
    }.get(unit, (1.0, unit))
    return f"{' to '.join(_digits(scale * value) for value in values)} {shown}".strip()


def _digits(value: float) -> str:
    """Three digits that count, and all of those before the point."""
    size = abs(value)
    return f"{value:,.{0 if size >= 100 or not value else 1 if size >= 10 else 2 if size >= 1 else 3}f}"


def ratio_text(ratio: Mapping[str, Any] | None) -> str:
    """Return how many times the other side it is; an infinite one is a rise from nothing."""
    if ratio is None:
        return "–"
    return "from none" if ratio["value"] is None else f"{_digits(ratio['value'])} ×"


def ratio_bounds_text(ratio: Mapping[str, Any] | None) -> str:
    """Return the bounds of a ratio; empty where it has none."""
    if ratio is None or ratio["low"] is None:
        return ""
    if ratio["high"] is None:
        return f"{_digits(ratio['low'])} or more"
    return f"{_digits(ratio['low'])} to {_digits(ratio['high'])}"
