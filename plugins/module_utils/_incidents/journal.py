# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the journal for what went wrong: systemd's words about the services, theirs, and the kernel's.

A busy engine writes millions of lines, so that every question here is one that journald has an index for, and has a
limit of lines and of seconds.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .._gpu import xid
from .._host.systemd import RunCommand, message
from .._places import unit_name, watchdog_name

_SECONDS = 30
_MANAGER_LINES = 20_000
_KERNEL_LINES = 2_000
_FIELDS = "MESSAGE,MESSAGE_ID,UNIT,INVOCATION_ID,_SYSTEMD_UNIT,_SYSTEMD_INVOCATION_ID,_PID,_TRANSPORT"
# SD_MESSAGE_JOURNAL_DROPPED of systemd/sd-messages.h.
_DROPPED = "a596d6fe7bfa4994828e72309e95d61e"
_PERSISTENT = Path("/var/log/journal")
# What the server writes of each request, as journalctl's --grep leaves it out: 120,000 lines take 0.2 s.
_NO_REQUEST = r'^(?!(\(\w+ pid=\d+\) )?INFO: +\S+ - ")'
_REQUEST_LINE = re.compile(r'(\(\w+ pid=\d+\) )?INFO: +\S+ - "')
_REQUEST_SECONDS, _REQUEST_LINES = 600.0, 200
_OOM = "oom-kill:|ut of memory: Killed process"


@dataclass(frozen=True)
class Entry:
    """One line of the journal.

    ``time`` is Unix time in seconds; ``unit`` is the one that wrote it or, for a line of systemd itself, that it is
    about; ``invocation`` is that of the unit; ``message_id`` is what systemd calls its kind of message.
    """

    time: float
    text: str
    unit: str = ""
    invocation: str = ""
    pid: int = 0
    message_id: str = ""


class Journal:
    """journalctl of this host; where there is none, there is nothing in it."""

    def __init__(self, run: RunCommand) -> None:
        self._run = run

    def _entries(self, *arguments: str) -> list[Entry]:
        """Entries, oldest first."""
        if shutil.which("journalctl") is None:
            return []
        command = ["timeout", str(_SECONDS), "journalctl", "--output=json", f"--output-fields={_FIELDS}"]
        # 1: no line matches --grep. Whatever was printed before a failure is worth reading.
        _status, out, _error = self._run([*command, "--quiet", "--no-pager", *arguments])
        return sorted((entry for entry in map(_entry, out.splitlines()) if entry), key=lambda entry: entry.time)

    def begins(self) -> float | None:
        """Return the Unix time of the journal's first line; None without a journal."""
        words = "journalctl --output=json --output-fields=_PID --quiet | head -n 1"
        if shutil.which("journalctl") is None:
            return None
        _status, out, _error = self._run(["timeout", str(_SECONDS), "sh", "-c", words])
        entry = _entry(out)
        return entry.time if entry else None

    def is_volatile(self) -> bool:
        """Return whether the journal lies in memory, so that a reboot forgets all of it."""
        return shutil.which("journalctl") is not None and not _PERSISTENT.is_dir()

    def suppressed(self, since: float) -> list[Entry]:
        """Return journald's own words on lines that it dropped, because a unit wrote too many."""
        return self._entries(f"--since=@{since:.0f}", f"--lines={_KERNEL_LINES}", f"MESSAGE_ID={_DROPPED}")

    def lives(self, services: Sequence[str], since: float) -> list[Entry]:
        """What systemd wrote about these services, and what their watchdogs did."""
        if not services:
            return []
        matches = ["_PID=1", *(f"UNIT={unit_name(name)}" for name in services), "+"]
        matches += [f"_SYSTEMD_UNIT={watchdog_name(name)}" for name in services]
        return self._entries(f"--since=@{since:.0f}", f"--lines={_MANAGER_LINES}", *matches)

    def invocation(self, invocation: str, lines: int) -> list[Entry]:
        """Return the last so many lines that the processes of one start of a unit wrote.

        Where requests fill them, those of the last minutes that report no request are returned instead, with the
        latest of the requests: 200 requests a second push a cause out of 2000 lines within ten seconds.
        """
        match = f"_SYSTEMD_INVOCATION_ID={invocation}"
        entries = self._entries(f"--lines={lines}", match)
        of_requests = sum(_REQUEST_LINE.match(entry.text) is not None for entry in entries)
        if len(entries) < lines or of_requests < lines / 2:
            return entries
        since = f"--since=@{entries[-1].time - _REQUEST_SECONDS:.0f}"
        others = self._entries(f"--lines={lines}", since, f"--grep={_NO_REQUEST}", match)
        return sorted({*others, *entries[-_REQUEST_LINES:]}, key=lambda entry: entry.time)

    def kernel(self, since: float) -> list[Entry]:
        """The kernel's lines about GPUs and about killings for want of memory."""
        pattern = f"--grep={xid.PATTERN}|{_OOM}"
        return self._entries(f"--since=@{since:.0f}", f"--lines={_KERNEL_LINES}", pattern, "_TRANSPORT=kernel")

    def xids_since_boot(self) -> list[str]:
        """The kernel's lines about GPUs since boot."""
        found = self._entries("--boot", f"--lines={_KERNEL_LINES}", f"--grep={xid.PATTERN}", "_TRANSPORT=kernel")
        return [entry.text for entry in found]


def _entry(line: str) -> Entry | None:
    try:
        fields: Mapping[str, object] = json.loads(line)
        manager = fields.get("_PID") == "1"
        return Entry(
            time=int(str(fields["__REALTIME_TIMESTAMP"])) / 1e6,
            text=message(fields.get("MESSAGE")),
            unit=str(fields.get("UNIT" if manager else "_SYSTEMD_UNIT", "")),
            invocation=str(fields.get("INVOCATION_ID" if manager else "_SYSTEMD_INVOCATION_ID", "")),
            pid=int(str(fields.get("_PID", 0))),
            message_id=str(fields.get("MESSAGE_ID", "")),
        )
    except (ValueError, KeyError, TypeError):
        return None  # cut off by the time limit
