# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a table for a terminal, made on the controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# A column: its heading, and how a row shows there.
Column = tuple[str, str, str]


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line per row under a heading, columns as wide as their longest cell.

    A column is (heading, key of the row, format); None shows as a dash, a list as its items with commas.
    """
    lines = [[heading for heading, _key, _form in columns]]
    lines += [[_cell(row.get(key), form) for _heading, key, form in columns] for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]


def _cell(value: Any, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value) or "-"
    return form.format(value)
