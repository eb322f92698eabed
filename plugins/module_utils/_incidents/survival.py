# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what a service outlived from what ended it. Pure.

A sign of life after an error says that the error ended nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .lines import Level, Line, Writer
from .signature import Rank
from .statements import Statement

# Below every end that systemd reports: an error of one request, or of long ago.
DOUBTFUL = 5
# After the engine has died its server still reports the last interval, and answers what was already answered.
_ANSWER_SECONDS, _THROUGHPUT_SECONDS, _ALIVE_SECONDS = 5.0, 15.0, 5.0
# Without times, so many answers after an error are no remains of what was under way.
_ANSWERS = 3
# An error this long before the end, and something else at the end: the error is of another day. A start that took too
# long may have waited for what failed at its beginning.
_OLD_SECONDS, _END_SECONDS = 900.0, 120.0

# Times further apart are not of one life: the clock was set, or a header has no year.
_COMPARABLE_SECONDS = 7 * 86400.0

_SERVES = re.compile(r"Application startup complete|generated its first token|Uvicorn running on")
_ANSWER = re.compile(r'"POST \S+ HTTP/[\d.]+" 2\d\d')
_REFUSAL = re.compile(r'"(POST|GET) \S+ HTTP/[\d.]+" 4\d\d')
_FAILURE = re.compile(r'"(POST|GET) \S+ HTTP/[\d.]+" 5\d\d')
_THROUGHPUT = re.compile(r"Avg generation throughput: (?!0\.0 )")
# One search tells most lines from those that the others are for.
_ANY_SIGN = re.compile(r"HTTP/|Avg generation|Application startup|first token|Uvicorn running")
_FAREWELL = re.compile(r"(?i)shut|exit|terminat|destroy|clos|clean|abort|cancel|stopp|kill|dump|finished server")


@dataclass(frozen=True)
class Course:
    """The signs of life in a journal, and of each process its last line that says that it works."""

    lines: Sequence[Line]
    signs: Sequence[tuple[int, Line]]
    working: Mapping[str, tuple[int, Line]]

    @classmethod
    def of(cls, lines: Sequence[Line]) -> Course:
        """Return the course of the service that wrote these lines."""
        signs = [(place, line) for place, line in enumerate(lines) if _ANY_SIGN.search(line.text)]
        working = {line.process: (place, line) for place, line in enumerate(lines) if _is_work(line)}
        return cls(lines, signs, working)

    def worth(self, statement: Statement, said: Sequence[Statement]) -> int | None:
        """Return what a statement is worth now that the rest of the journal is known; None where it was outlived.

        The word of those who ended the service is never outlived.
        """
        rank = statement.rank
        if rank is None or rank is Rank.AUTHORITY or rank <= Rank.TIMEOUT:
            return rank
        after = [line for place, line in self.signs if place > statement.place]
        if statement.request or self._was_refused(statement, after) or self._lives_on(statement, after):
            return None
        if self._is_farewell(statement, said):
            return Rank.WRAPPER
        is_request = statement.line.writer is Writer.API and rank > Rank.WORKER and self._serves(statement.place)
        return DOUBTFUL if is_request or self._is_old(statement, said) else rank

    def _serves(self, place: int) -> bool:
        before = (line.text for at, line in self.signs if at < place)
        return any(_SERVES.search(text) or _ANSWER.search(text) for text in before)

    def _was_refused(self, statement: Statement, after: Sequence[Line]) -> bool:
        """Whether the server refused a request next: the error was that of the request."""
        if statement.line.writer is Writer.ENGINE or not after or not _REFUSAL.search(after[0].text):
            return False
        between = self.lines[statement.place + 1 :]
        return next((line for line in between if line.message and line.level is Level.BENIGN), None) is after[0]

    def _lives_on(self, statement: Statement, after: Sequence[Line]) -> bool:
        place, works = self.working.get(statement.line.process, (-1, statement.line))
        if place > statement.place and _seconds(statement.line, works) >= _ALIVE_SECONDS:
            return True
        return _answered_on(statement, after) or any(
            _SERVES.search(line.text)
            or (_seconds(statement.line, line) >= _ANSWER_SECONDS and _ANSWER.search(line.text))
            or (_seconds(statement.line, line) >= _THROUGHPUT_SECONDS and _THROUGHPUT.search(line.text))
            for line in after
        )

    @staticmethod
    def _is_farewell(statement: Statement, said: Sequence[Statement]) -> bool:
        """Whether the service had been told to end: its parts then miss one another, and throw what they throw."""
        is_of_an_end = statement.signature is None or statement.rank in (Rank.ENGINE, Rank.WORKER)
        return is_of_an_end and any(other.place < statement.place and other.rank is Rank.TOLD for other in said)

    def _is_old(self, statement: Statement, said: Sequence[Statement]) -> bool:
        """Whether the error is from long before the end, and the end has a word of its own.

        The words of an engine's or a worker's death are no such word: they are about an error above them.
        """
        end = self.lines[-1]
        if _seconds(statement.line, end) < _OLD_SECONDS:
            return False
        late = {other.rank for other in said if _seconds(other.line, end) <= _END_SECONDS}
        return bool(late - {Rank.WRAPPER, Rank.ENGINE, Rank.WORKER}) and Rank.TIMEOUT not in late


def _seconds(earlier: Line, later: Line) -> float:
    """How long one line was certainly written before another; 0 where that is unknown or out of all proportion."""
    if earlier.until is None or later.since is None or later.since - earlier.until > _COMPARABLE_SECONDS:
        return 0.0
    return later.since - earlier.until


def _answered_on(statement: Statement, after: Sequence[Line]) -> bool:
    """Whether so many requests were answered after the error that these were not the last of those under way."""
    answers, failed = 0, False
    for line in after:
        failed = failed or _FAILURE.search(line.text) is not None
        answers += _ANSWER.search(line.text) is not None
        # A server whose engine is dead answers with errors, and with nothing else any more.
        if answers >= (_ANSWERS if statement.line.writer is Writer.ENGINE and not failed else 1):
            return not _is_timed(statement.line, line)
    return False


def _is_timed(*lines: Line) -> bool:
    return all(line.since is not None and line.since == line.until for line in lines)


def _is_work(line: Line) -> bool:
    """Whether a process says that it works on; a server whose engine is dead still talks."""
    if not line.process or line.level is not Level.BENIGN or not line.message or _FAREWELL.search(line.text):
        return False
    return not _REFUSAL.search(line.text) and not _FAILURE.search(line.text) and "throughput: 0.0 " not in line.text
