# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of an entry in the table of failures, and how much one kind of evidence outweighs another."""

from __future__ import annotations

import re
from enum import Enum, IntEnum
from functools import cached_property

# An exception that no kind fits, and an end without any line that says why.
ENGINE_ERROR, UNKNOWN = "engine_error", "unknown"


class Rank(IntEnum):
    """What a line is worth as an explanation of an end; of two lines the higher rank explains it."""

    WRAPPER = 6  # words that say only that something else failed
    TOLD = 8  # a process's word that a signal told it to end
    END = 10  # systemd's word on how the main process ended
    TIMEOUT = 12  # systemd's word that the start took too long
    ENGINE = 20  # the server's word that the engine is gone
    WORKER = 22  # the engine's word that a worker is gone
    SYMPTOM = 30  # an error whose root may lie elsewhere, or that no kind fits
    CAUSE = 50  # an error that needs no other explanation
    AUTHORITY = (
        60  # the word of the kernel, of systemd, of the guard or of the watchdog, who ended or refused the engine
    )


class Section(Enum):
    """Where docs/troubleshooting.md shows a kind."""

    MEMORY = "memory"
    GPUS = "gpus"
    SEVERAL_GPUS = "several-gpus"
    MODEL = "model"
    CONFIGURATION = "configuration"
    INSTALLATION = "installation"
    HOST = "host"
    PROCESSES = "processes"


class Signature:
    """One kind: how its lines read, what they are worth, what helps, and an example for the documentation.

    ``symptoms`` are patterns whose lines are worth ``Rank.SYMPTOM`` only. A ``general`` kind is asked where no other
    fits, and only for lines that are errors.
    """

    def __init__(
        self,
        kind: str,
        remedy: str,
        section: Section,
        patterns: tuple[str, ...],
        examples: tuple[str, ...],
        *,
        rank: Rank = Rank.CAUSE,
        symptoms: tuple[str, ...] = (),
        general: bool = False,
    ) -> None:
        self.kind = kind
        self.remedy = remedy
        self.section = section
        self.examples = examples
        self.general = general
        self._rank = rank
        self._patterns = patterns
        self._symptoms = symptoms

    @cached_property
    def _proof(self) -> re.Pattern[str] | None:
        return _either(self._patterns)

    @cached_property
    def _symptom(self) -> re.Pattern[str] | None:
        return _either(self._symptoms)

    def rank_of(self, message: str) -> Rank | None:
        """Return what a message is worth for this kind; None where it does not fit."""
        if self._proof is not None and self._proof.search(message):
            return self._rank
        return Rank.SYMPTOM if self._symptom is not None and self._symptom.search(message) else None


def _either(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    """One pattern of several; ``(?i)`` at the beginning of a pattern is about that pattern alone."""
    parts = [f"(?i:{pattern[4:]})" if pattern.startswith("(?i)") else f"(?:{pattern})" for pattern in patterns]
    return re.compile("|".join(parts)) if parts else None
