# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of engines, ordered as PEP 440 orders what engines publish. Pure.

Read: ``0.24``, ``0.32.0``, ``v0.11.0rc2``, ``0.10.2.post1``, ``0.33.0.dev12+gabc``, ``0.18.0+rhaiv.7``. A local part
(after ``+``) names a build of the same version, so it takes no part in the order. Epochs are not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import total_ordering

from ._errors import InferenceError
from ._values import shown

_VERSION = re.compile(
    r"v?(?P<release>[0-9]{1,6}(?:\.[0-9]{1,6}){0,5})"
    r"(?:[-_.]?(?P<phase>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?P<number>[0-9]{0,9}))?"
    r"(?:[-_.]?post[-_.]?(?P<post>[0-9]{0,9}))?"
    r"(?:[-_.]?dev[-_.]?(?P<dev>[0-9]{0,9}))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?",
    re.IGNORECASE,
)
_PHASES = {"alpha": 0, "a": 0, "beta": 1, "b": 1, "preview": 2, "pre": 2, "rc": 2, "c": 2}
_BEFORE_ALL, _FINAL = -1, 3  # a phase below alpha, for a bare .devN; one above every candidate


@total_ordering
@dataclass(frozen=True, eq=False)
class Version:
    """A version with an order: 0.11.0.dev3 < 0.11.0rc2 < 0.11.0 = 0.11 < 0.11.0.post1 < 0.11.1."""

    text: str
    release: tuple[int, ...]  # without zeros at its end
    rank: tuple[int, int, int, float] = field(repr=False)  # phase, its number, post-release, development release

    def _key(self) -> tuple[tuple[int, ...], tuple[int, int, int, float]]:
        return self.release, self.rank

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Version) else NotImplemented

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __str__(self) -> str:
        return self.text


def parse_version(text: str, where: str = "engine_version") -> Version:
    """Return the version that ``text`` names.

    Raises InferenceError that names ``where``, the value and examples of what is read.
    """
    matched = _VERSION.fullmatch(text.strip()) if isinstance(text, str) else None
    if matched is None:
        raise InferenceError(
            f"{where} must be a version such as 0.32.0, 0.11.0rc2 or 0.32.0+cpu, not {shown(text)}.", value=str(text)
        )
    release = [int(part) for part in matched["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    post = -1 if matched["post"] is None else int(matched["post"] or 0)
    dev = float("inf") if matched["dev"] is None else float(matched["dev"] or 0)
    if matched["phase"] is not None:
        phase, number = _PHASES[matched["phase"].lower()], int(matched["number"] or 0)
    else:  # 0.11.0.dev3 comes before the candidates of 0.11.0; 0.11.0.post1.dev3 after 0.11.0
        phase, number = (_BEFORE_ALL if post < 0 and matched["dev"] is not None else _FINAL), 0
    return Version(text.strip(), tuple(release), (phase, number, post, dev))
