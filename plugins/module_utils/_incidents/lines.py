# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a line of a journal: which process wrote it, how grave the process called it, and the message itself. Pure.

The same message reaches a journal in many dresses: the engine's own header (two layouts since 0.6), torch's, glog's,
NCCL's and uvicorn's headers, journalctl's and Podman's prefixes, colours. ``read_lines`` takes all of them off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from enum import IntEnum
from itertools import accumulate


@dataclass(frozen=True)
class Written:
    """A line as it stands in the journal: Unix time in seconds (None: unknown) and process (0: unknown)."""

    text: str
    time: float | None = None
    pid: int = 0


class Level(IntEnum):
    """How grave the line's own header calls the line; ``BARE`` is a line without a header."""

    BENIGN = 0
    BARE = 1
    ERROR = 2


class Writer(IntEnum):
    """The part of a service that wrote a line."""

    UNKNOWN = 0
    API = 1  # the server of requests
    ENGINE = 2  # the engine's core and its workers


@dataclass(frozen=True)
class Line:
    """One line without its prefixes.

    ``text`` keeps its indentation. ``process`` names the writer where the line or the journal does. The line was
    written between the times ``since`` and ``until``, in seconds of any origin, the same for all lines of one journal:
    a line without a time of its own lies between its neighbours. None: unknown.
    """

    text: str
    level: Level
    writer: Writer
    process: str
    since: float | None = None
    until: float | None = None

    @property
    def message(self) -> str:
        """The text without indentation."""
        return self.text.strip()

    @property
    def indented(self) -> bool:
        """Whether the line continues another one, such as a frame of a traceback."""
        return self.text[:1] in (" ", "\t")


# An engine may write lines of 48 KiB, and patterns take their time: no line is read beyond this (characters).
_LONGEST = 2000
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_GRAVE = ("ERROR", "CRITICAL", "FATAL", "E", "F")
_LEVEL = r"DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|CRITICAL|FATAL|TRACE"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Prefixes, each tried again and again until none fits. The groups say what a prefix tells.
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        # the engine's process and header at once, as most lines have them
        rf"(?:\((?P<process>[\w-]+) pid=(?P<pid>\d+)\) )?(?P<level>{_LEVEL}) (?P<monthday>\d\d-\d\d) "
        r"(?P<clock>\d\d:\d\d:\d\d)(?:\.\d+)? \[(?P<file>[^\]\s:]+):\d+\] ?",
        # journalctl --output=short, short-iso; Python's logging and loguru with a date
        r"(?P<month>[A-Z][a-z]{2}) +(?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d)(?:\.\d+)? \S+ (?P<ident>[^\s\[\]:]+)"
        r"(?:\[(?P<pid>\d+)\])?: ?",
        r"(?P<date>\d{4}-\d\d-\d\d)[T ](?P<clock>\d\d:\d\d:\d\d)(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?(?: - | *\| *|\s+)",
        rf"[\w.]+ - (?P<level>{_LEVEL}) - ",
        # a host and a program with its process, a container's name, the kernel, syslog's priority
        r"(?:[\w.-]+ )?(?P<ident>[A-Za-z][\w.@/-]*)\[(?P<pid>\d+)\]: ?",
        r"[\w.-]+ +\| ",
        r"<\d>|(?:\S+ )?kernel: |\[ *\d+\.\d+\] ",
        # the process, as the engine and Ray write it
        r"\((?P<process>[A-Za-z][\w-]*)?(?:[ ,]*\w*rank=\d+)?(?:[ ,]*pid=(?P<pid>\d+))(?:, ip=[\w.:]+)?\)\s?",
        r"\((?P<process>(?:APIServer|ApiServer|EngineCore|VllmWorker|Worker|RayWorker)[\w-]*|raylet)\) ",
        # the engine's header: ERROR 11-28 10:00:00 [core.py:12], before 0.8 with the file and a bracket at its end
        rf"(?P<level>{_LEVEL}) +(?:(?P<monthday>\d\d-\d\d) (?P<clock>\d\d:\d\d:\d\d)(?:[.,]\d+)?|\S+ \S+(?= \[))"
        r" +(?:\[(?P<file>[^\]\s]+?)(?::\d+)?\]|(?P<oldfile>[\w./-]+):\d+\]) ?",
        r"\[(?P<file>[\w./-]+\.py):\d+\] ",
        # uvicorn's and other levels that stand alone
        rf"\[?(?P<level>{_LEVEL})\]?(?: *[:|] *|\t+| +)(?:[\w.]+\.py:\d+ -- )?",
        # torch's c10 and glog
        r"\[rank\d+\]: ?",
        r"\[(?P<level>[EWIF])\d{0,4} ?(?:\d\d:\d\d:\d\d\.\d+ )?(?:\d+ )?[\w./-]+\.\w+:\d+\] ",
        r"(?P<level>[EWIF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w./-]+:\d+\] ",
        r"\[(?:PG [^\]]*)?Rank \d+\] |\[c10d\] |\[transformers\] ",
        # NCCL: host:process:thread [device] place NCCL WARN
        r"[\w.-]+:(?P<pid>\d+):\d+ \[\d+\] (?:\S+:\d+ )?NCCL (?P<level>INFO|WARN|TRACE) ",
        r"(?P<level>Warning): ",
    )
)
# How any of them begins: one look at a line that has none, or none any more.
_MAY_BE_PREFIXED = re.compile(
    rf"[\[(<\d]|(?:{_LEVEL})\b|[EWIF]\d{{4}} |[A-Z][a-z]{{2}} +\d|[\w.]+ - |[\w.-]+ +\| |(?:\S+ )?kernel: |"
    r"(?:[\w.-]+ )?[A-Za-z][\w.@/-]*\[\d+\]|[\w.-]+:\d+:\d+ \[|Warning: "
)
# NCCL explains its errors in lines that it calls warnings, and only where it was told to.
_NCCL_WARNING = re.compile(r"NCCL WARN ")
_PYTHON_WARNING = re.compile(r"^(?:\S+:\d+: )?(?:\w+\.)*\w*Warning: |^warnings?\b|^\s+warnings\.warn", re.IGNORECASE)
_HANDLED = re.compile(
    r"\(ignored\)|\bignoring\b|^Exception ignored in|\bfall(?:ing|s)? back\b|\bfallback to\b|\bretrying\b|\bskipping\b",
    re.IGNORECASE,
)
# The guard's progress, and the dumps of all options, which have the words of every failure in them.
_PROGRESS = re.compile(
    r"^vllm-guard: (waiting: |GPU \d+ \(|generated |the leader |Ray has )|non-default args|\bargs: Namespace\(|"
    r"with config: |^frame #\d+: |^Exception raised from |Dumping (input|scheduler)|"
    r"\b(SchedulerOutput|SchedulerStats|VllmConfig|EngineArgs)\("
)
_ENGINE = re.compile(r"^(?:EngineCore|Vllm|Worker|RayWorker|Ray)")
_ENGINE_FILE = re.compile(
    r"(?:^|/)(?:core|\w*executor|\w*worker\w*|\w*runner|multiproc\w*|engine|dump_input|parallel_state)\.py$"
)
_API_FILE = re.compile(
    r"(?:^|/)(?:serving\w*|api_server|launcher|async_llm|entry|protocol|\w*preprocess\w*|serve|api_router)\.py$"
)


def read_lines(lines: Iterable[str | Written]) -> list[Line]:
    """Return the lines of one journal, oldest first, without what journal, engine and libraries put before them."""
    read = [_read(line if isinstance(line, Written) else Written(line)) for line in lines]
    since = list(accumulate((time for _line, time in read), _known))
    until = list(accumulate((time for _line, time in reversed(read)), _known))[::-1]
    return [replace(line, since=begin, until=end) for (line, _time), begin, end in zip(read, since, until)]


def _known(before: float | None, own: float | None) -> float | None:
    return before if own is None else own


def bounded(text: str, longest: int = _LONGEST) -> str:
    """Return a text of at most so many characters: its beginning and, for a fifth of them, its end."""
    return text if len(text) <= longest else f"{text[: longest * 4 // 5]}…{text[-longest // 5 + 1 :]}"


def _read(written: Written) -> tuple[Line, float | None]:
    text = bounded(written.text[: 2 * _LONGEST]).rstrip()
    text = _COLOURS.sub("", text) if "\x1b" in text else text
    level, writer, process, time = Level.BARE, Writer.UNKNOWN, "", written.time
    while prefix := _prefix(text):
        said = {key: value for key, value in prefix.groupdict().items() if value}
        text = text[prefix.end() :]
        if "level" in said:
            level = Level.ERROR if said["level"] in _GRAVE else Level.BENIGN
            if _NCCL_WARNING.search(prefix.group()):
                level = Level.BARE
        if "process" in said or ("pid" in said and not process):
            process = f"{said.get('process', '')} {said.get('pid', '')}".strip()
        writer = _writer(said) or writer
        if "clock" in said and written.time is None:
            time = _time(said)
    if level is not Level.BENIGN and _is_harmless(text, level):
        level = Level.BENIGN
    if not process and written.pid:
        process = str(written.pid)
    return Line(text, level, writer, process), time


def _prefix(text: str) -> re.Match[str] | None:
    if not _MAY_BE_PREFIXED.match(text):
        return None
    return next((found for pattern in _PREFIXES if (found := pattern.match(text)) and found.end()), None)


def _is_harmless(text: str, level: Level) -> bool:
    if level is Level.BARE and (_PYTHON_WARNING.search(text) or _HANDLED.search(text)):
        return True
    return _PROGRESS.search(text) is not None


def _writer(said: dict[str, str]) -> Writer:
    process, file = said.get("process", ""), said.get("file") or said.get("oldfile") or ""
    if process:
        return Writer.ENGINE if _ENGINE.match(process) else Writer.API
    if _ENGINE_FILE.search(file):
        return Writer.ENGINE
    return Writer.API if _API_FILE.search(file) else Writer.UNKNOWN


def _time(said: dict[str, str]) -> float | None:
    """The time of a header, which has no year: only differences count."""
    hours, minutes, seconds = (int(part) for part in said["clock"].split(":"))
    if "date" in said:
        _year, month, day = (int(part) for part in said["date"].split("-"))
    elif "monthday" in said:
        month, day = (int(part) for part in said["monthday"].split("-"))
    else:
        month, day = _MONTHS.index(said["month"]) + 1, int(said["day"])
    try:
        return date(2024, month, day).toordinal() * 86400.0 + hours * 3600 + minutes * 60 + seconds
    except ValueError:
        return None
