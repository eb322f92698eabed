# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that a user wrote, read with care.

Inventories are templates: numbers arrive as text, whole trees as anything. Each reader here takes whatever
came and says what is wrong with it in one line, so that its callers stay about what a value means.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
import reprlib
from collections.abc import Mapping
from typing import Any, Callable

_FLAGS = {"true": True, "false": False}
MOST_PROBLEMS = 100  # nobody reads more, and a million of them are no message


class Problems:
    """Collects the mistakes of a layout, so that a user reads all of them at once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.where = ""

    def add(self, text: str) -> None:
        if len(self.texts) < MOST_PROBLEMS:
            self.texts.append(f"{self.where}: {text}")


class Fields:
    """Typed access to one service's keys; a wrong value is reported and replaced by the default."""

    def __init__(self, values: Mapping[str, Any], problems: Problems) -> None:
        self.values = {key: value for key, value in values.items() if value is not None}
        self.problems = problems

    def text(self, key: str, default: str = "") -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str) or not printable(value):
            self.problems.add(f"{key} must be a line of text, not {shown(value)}.")
            return default
        return value

    def integer(self, key: str, default: int, lowest: int, highest: int) -> int:
        value = as_integer(self.values.get(key, default))
        if value is None or not lowest <= value <= highest:
            found = shown(self.values.get(key))
            self.problems.add(f"{key} must be a whole number from {lowest} to {highest}, not {found}.")
            return default
        return value

    def optional_integer(self, key: str, lowest: int, highest: int) -> int | None:
        return self.integer(key, lowest, lowest, highest) if key in self.values else None

    def flag(self, key: str) -> bool:
        value = as_flag(self.values.get(key, False))
        if value is None:
            self.problems.add(f"{key} must be true or false, not {shown(self.values[key])}.")
            return False
        return value

    def number(self, key: str, accept: Callable[[float], bool], rule: str) -> float | None:
        if key not in self.values:
            return None
        value = as_number(self.values[key])
        if value is None or not accept(value):
            self.problems.add(f"{key} must be {rule}, not {shown(self.values[key])}.")
            return None
        return value

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.values.get(key, {})
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            # The type only: it may be a secret in the wrong place.
            self.problems.add(f"{key} must be a dictionary with text as its keys, not {type(value).__name__}.")
            return {}
        return value


def is_whole(value: Any) -> bool:
    """Whether ``value`` is a whole number; to Python, true and false are some as well."""
    return isinstance(value, int) and not isinstance(value, bool)


def as_integer(value: Any) -> int | None:
    """Return the whole number that ``value`` is or, as templates give it, spells; None otherwise."""
    if is_whole(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}(\.0{1,18})?", value.strip()):
        return int(value.partition(".")[0])
    return None


def as_flag(value: Any) -> bool | None:
    """Return the truth value that ``value`` is or, as templates give it, spells; None otherwise."""
    if isinstance(value, bool):
        return value
    return _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None


def canonical_number(value: Any) -> Any:
    """Return the value of a flag that takes a number: 1 for 1.0 and "1.0"; anything else is returned as it is."""
    number = as_number(value)
    if number is None or is_whole(value):
        return value
    return int(number) if number.is_integer() else number


def merged(value: Any) -> Any:
    """Return plain data with whole numbers as integers at any depth, so that 1 and 1.0 have one digest."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: merged(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [merged(item) for item in value]
    return value


def as_number(value: Any) -> float | None:
    """Return the finite number that ``value`` is or spells; None otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def is_loopback(host: str) -> bool:
    """Tell whether an address, or the name localhost, is reached from its own machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def printable(text: str) -> bool:
    return all(character.isprintable() for character in text)


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def shown(value: Any) -> str:
    """Return ``value`` as an error shows it: one short line, whatever its size or depth."""
    return _SHORT.repr(value)


GIB = 1 << 30


MIB = 1 << 20
