# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the journal for what went wrong: systemd's words about the services, theirs, and the kernel's.

A busy engine writes millions of lines, so that every question here is one that journald has an index for, and has a
limit of lines and of seconds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._gpu import xid
from .._host.systemd import RunCommand, message
from .._places import unit_name, watchdog_name

_SECONDS = 30
_MANAGER_LINES = 20_000
_KERNEL_LINES = 2_000
_FIELDS = "MESSAGE,MESSAGE_ID,UNIT,INVOCATION_ID,_SYSTEMD_UNIT,_SYSTEMD_INVOCATION_ID,_PID,_TRANSPORT"
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

    def oldest(self, since: float) -> float | None:
        """When the first line after a Unix time was written; None where there is none."""
        words = f"journalctl --output=json --output-fields=_PID --quiet --since=@{since:.0f} | head -n 1"
        if shutil.which("journalctl") is None:
            return None
        _status, out, _error = self._run(["timeout", str(_SECONDS), "sh", "-c", words])
        entry = _entry(out)
        return entry.time if entry else None

    def lives(self, services: Sequence[str], since: float) -> list[Entry]:
        """What systemd wrote about these services, and what their watchdogs did."""
        if not services:
            return []
        matches = ["_PID=1", *(f"UNIT={unit_name(name)}" for name in services), "+"]
        matches += [f"_SYSTEMD_UNIT={watchdog_name(name)}" for name in services]
        return self._entries(f"--since=@{since:.0f}", f"--lines={_MANAGER_LINES}", *matches)

    def invocation(self, invocation: str, lines: int) -> list[Entry]:
        """The last so many lines that the processes of one start of a unit wrote."""
        return self._entries(f"--lines={lines}", f"_SYSTEMD_INVOCATION_ID={invocation}")

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
