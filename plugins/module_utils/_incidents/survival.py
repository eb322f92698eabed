# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what a service outlived from what ended it. Pure.

A sign of life after an error says that the error ended nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional

from .lines import Level, Line, Part
from .signature import Rank
from .statements import Statement

# Below every end that systemd tells of: an error of one request, or of long ago.
DOUBTFUL = 5
# After the engine has died its server still tells of the last interval, and answers what was already answered.
_ANSWER_SECONDS, _THROUGHPUT_SECONDS, _ALIVE_SECONDS = 5.0, 15.0, 5.0
# Without times, so many answers after an error of the engine are no remains.
_ANSWERS = 3
# An error this long before the end, and something else at the end: the error is of another day.
_OLD_SECONDS, _END_SECONDS = 900.0, 120.0

_SERVES = re.compile(r"Application startup complete|generated its first token|Uvicorn running on")
_ANSWER = re.compile(r'"POST \S+ HTTP/[\d.]+" 2\d\d')
_REFUSAL = re.compile(r'"(POST|GET) \S+ HTTP/[\d.]+" 4\d\d')
_THROUGHPUT = re.compile(r"Avg generation throughput: (?!0\.0 )")
_FAREWELL = re.compile(r"(?i)shut|exit|terminat|destroy|clos|clean|abort|cancel|stopp|kill|dump|finished server")


def outlived(statement: Statement, said: Sequence[Statement], lines: Sequence[Line]) -> Optional[int]:
    """Return what a statement is worth now that the rest of the journal is known; None where the service outlived it.

    The word of those who ended the service is never outlived.
    """
    rank = statement.rank
    if rank is None or rank is Rank.AUTHORITY or rank <= Rank.TIMEOUT:
        return rank
    after = lines[statement.place + 1 :]
    if statement.request or _was_answered(statement, after) or _lives_on(statement, after):
        return None
    is_request = statement.line.part is Part.API and _serves(lines[: statement.place]) and rank > Rank.WORKER
    return DOUBTFUL if is_request or _is_old(statement, said, lines) else rank


def _serves(before: Sequence[Line]) -> bool:
    return any(_SERVES.search(line.text) or _ANSWER.search(line.text) for line in before)


def _was_answered(statement: Statement, after: Sequence[Line]) -> bool:
    """The server refused the request next: the error was that of the request."""
    if statement.line.part is Part.ENGINE:
        return False
    following = next((line for line in after if line.message and line.level is Level.BENIGN), None)
    return following is not None and _REFUSAL.search(following.text) is not None


def _lives_on(statement: Statement, after: Sequence[Line]) -> bool:
    answers = 0
    for line in after:
        if _SERVES.search(line.text):
            return True
        seconds = _seconds(statement.line, line)
        if _ANSWER.search(line.text):
            answers += 1
            late = seconds is not None and seconds >= _ANSWER_SECONDS
            if late or (seconds is None and answers >= (_ANSWERS if statement.line.part is Part.ENGINE else 1)):
                return True
        if _THROUGHPUT.search(line.text) and (seconds is None or seconds >= _THROUGHPUT_SECONDS):
            return True
        own = statement.line.process and line.process == statement.line.process and line.level is Level.BENIGN
        if own and line.message and seconds is not None and seconds >= _ALIVE_SECONDS and _is_work(statement, line):
            return True
    return False


def _is_work(statement: Statement, line: Line) -> bool:
    """Whether a line of the same process says that it works on; a server whose engine is dead still talks."""
    if _FAREWELL.search(line.text) or _REFUSAL.search(line.text) or '" 5' in line.text:
        return False
    return statement.line.part is not Part.API or "throughput: 0.0" not in line.text


def _is_old(statement: Statement, said: Sequence[Statement], lines: Sequence[Line]) -> bool:
    """Whether the error is from long before the end, and the end has a word of its own."""
    end = next((line.time for line in reversed(lines) if line.time is not None), None)
    if end is None or statement.line.time is None or end - statement.line.time < _OLD_SECONDS:
        return False
    return any(
        other.rank is not Rank.TIMEOUT and other.line.time is not None and end - other.line.time <= _END_SECONDS
        for other in said
    )


def _seconds(earlier: Line, later: Line) -> Optional[float]:
    return None if earlier.time is None or later.time is None else later.time - earlier.time
