# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mapping that a user wrote, read key by key: a refusal names the place, the value and what is expected."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._errors import InferenceError


class Record:
    """One mapping at ``where`` (such as ``topology.gpus[0]``) whose keys must be among ``keys``.

    A key that is absent or null reads as None (an empty list for :meth:`records`). Raises
    :class:`InferenceError` for an unknown key or a value of the wrong kind.
    """

    def __init__(self, value: object, where: str, keys: Iterable[str]) -> None:
        self.where = where
        if not isinstance(value, Mapping):
            raise InferenceError(f"{where} is {value!r:.80}; a mapping is expected.", where=where)
        self._values: Mapping[Any, Any] = value
        known = list(keys)
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1) or sorted(known)
                raise InferenceError(
                    f"{where} has the unknown key {str(key)!r:.80}; did you mean {', '.join(near)}?",
                    where=where,
                )

    def _wrong(self, key: str, expected: str) -> InferenceError:
        place = f"{self.where}.{key}"
        return InferenceError(f"{place} is {self._values.get(key)!r:.80}; {expected} is expected.", where=place)

    def integer(self, key: str, minimum: int = 0) -> int | None:
        """Return a whole number of at least ``minimum``."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise self._wrong(key, f"a whole number of at least {minimum}")
        return value

    def required_integer(self, key: str, minimum: int = 0) -> int:
        """Return a whole number that must be there."""
        value = self.integer(key, minimum)
        if value is None:
            raise self._wrong(key, f"a whole number of at least {minimum}")
        return value

    def number(self, key: str, minimum: float = 0.0) -> float | None:
        """Return a finite number of at least ``minimum``."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not minimum <= value < math.inf:
            raise self._wrong(key, f"a number of at least {minimum:g}")
        return float(value)

    def required_number(self, key: str, minimum: float = 0.0) -> float:
        """Return a number that must be there."""
        value = self.number(key, minimum)
        if value is None:
            raise self._wrong(key, f"a number of at least {minimum:g}")
        return value

    def text(self, key: str) -> str | None:
        """Return a string that is not empty."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self._wrong(key, "a text")
        return str(value)

    def required_text(self, key: str) -> str:
        """Return a string that must be there."""
        value = self.text(key)
        if value is None:
            raise self._wrong(key, "a text")
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str | None:
        """Return one of ``choices``."""
        value = self.text(key)
        if value is not None and value not in choices:
            raise self._wrong(key, f"one of {', '.join(choices)}")
        return value

    def required_choice(self, key: str, choices: Sequence[str]) -> str:
        """Return one of ``choices`` that must be there."""
        value = self.choice(key, choices)
        if value is None:
            raise self._wrong(key, f"one of {', '.join(choices)}")
        return value

    def flag(self, key: str) -> bool | None:
        """Return true or false."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def sequence(self, key: str) -> Sequence[Any] | None:
        """Return a list of anything."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, (list, tuple)):
            raise self._wrong(key, "a list")
        return value

    def integers(self, key: str) -> tuple[int, ...] | None:
        """Return a list of whole numbers, none below 0."""
        values = self.sequence(key)
        if values is None:
            return None
        if any(isinstance(value, bool) or not isinstance(value, int) or value < 0 for value in values):
            raise self._wrong(key, "a list of whole numbers of at least 0")
        return tuple(values)

    def integer_lists(self, key: str) -> tuple[tuple[int, ...], ...]:
        """Return a list of lists of whole numbers, none below 0."""
        values = self.sequence(key) or ()
        whole = (
            isinstance(item, int) and not isinstance(item, bool) and item >= 0 for value in values for item in value
        )
        if not all(isinstance(value, (list, tuple)) for value in values) or not all(whole):
            raise self._wrong(key, "a list of lists of whole numbers of at least 0")
        return tuple(tuple(value) for value in values)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        values = self.sequence(key) or ()
        if any(not isinstance(value, str) for value in values):
            raise self._wrong(key, "a list of texts")
        return tuple(str(value) for value in values)

    def record(self, key: str, keys: Iterable[str]) -> Record:
        """Return the mapping below ``key``; an absent one reads as an empty mapping."""
        value = self._values.get(key)
        return Record({} if value is None else value, f"{self.where}.{key}", keys)

    def optional_record(self, key: str, keys: Iterable[str]) -> Record | None:
        """Return the mapping below ``key``; None where it is absent."""
        value = self._values.get(key)
        return None if value is None else Record(value, f"{self.where}.{key}", keys)

    def pairs(self, key: str) -> tuple[tuple[float, float], ...]:
        """Return a list of pairs of finite numbers, none below 0."""
        values = self.sequence(key) or ()
        if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 and all(map(_counts, pair)) for pair in values):
            raise self._wrong(key, "a list of pairs of numbers of at least 0")
        return tuple((pair[0], pair[1]) for pair in values)

    def records(self, key: str, keys: Iterable[str]) -> list[Record]:
        """Return the mappings in the list below ``key``."""
        return [Record(value, f"{self.where}.{key}[{i}]", keys) for i, value in enumerate(self.sequence(key) or ())]


def _counts(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
