# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the line of a journal that says why a service ended, by what each line is. Pure.

1. A warning, a handled exception and an exception that the service outlived explain nothing.
2. Each other line is worth the rank of its kind (``signature.Rank``): a cause outranks its consequences, and the word
   of whoever ended the engine outranks both.
3. Of several causes the first explains the others. Of several symptoms and unnamed exceptions those of the process
   that ended first count: its first symptom, else its last exception.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .lines import Line, Written, read_lines
from .signature import ENGINE_ERROR, UNKNOWN, Rank
from .statements import Statement, statements
from .survival import Course

# What systemd writes after every end.
_BOOKKEEPING = re.compile(
    r"\.service: (Consumed|Deactivated|Scheduled restart|Failed with result)|^(Stopped|Stopping) "
)


@dataclass(frozen=True)
class Incident:
    """A cause: ``kind`` of the taxonomy, the ``line`` that proves the cause, and the ``remedy``."""

    kind: str
    line: str
    remedy: str


def cause(lines: Iterable[str | Written]) -> Incident:
    """Return why a service ended, out of the journal of one attempt, oldest line first.

    Lines are text or ``Written``, which brings the journal's own time and process. The kind is ``unknown`` where no
    line explains the end.
    """
    read = read_lines(lines)
    said = statements(read)
    course = Course.of(read)
    weighed = [(statement, rank) for statement in said if (rank := course.worth(statement, said)) is not None]
    found = _best(weighed)
    if found is None:
        return Incident(UNKNOWN, _last_words(read), "read its journal")
    if found.signature is None:
        return Incident(ENGINE_ERROR, found.text, "see the lines around it in the journal")
    return Incident(found.signature.kind, found.text, found.signature.remedy)


def _last_words(lines: Sequence[Line]) -> str:
    spoken = [line.message for line in lines if line.message]
    own = [message for message in spoken if not _BOOKKEEPING.search(message)]
    return (own or spoken or ["the service wrote nothing"])[-1]


def _best(weighed: Sequence[tuple[Statement, int]]) -> Statement | None:
    if not weighed:
        return None
    highest = max(rank for _statement, rank in weighed)
    equal = [statement for statement, rank in weighed if rank == highest]
    return _root(equal) if highest == Rank.SYMPTOM else equal[0]


def _root(equal: Sequence[Statement]) -> Statement:
    """Of symptoms and unnamed exceptions: what the process that ended first said of its end."""
    last: dict[str, int] = {statement.line.process: statement.place for statement in equal}
    first_ended = min(last, key=lambda process: last[process])
    own = [statement for statement in equal if statement.line.process == first_ended]
    named = [statement for statement in own if statement.signature is not None]
    return named[0] if named else own[-1]
