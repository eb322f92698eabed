# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load generator at work: a transient unit of systemd, from its start to its result."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import _environment_file
from .._errors import InferenceError
from .._host.systemd import RunCommand
from .._values import GIB, MIB
from . import command as bench

LOAD_DIRECTORY = Path("/run/vllm-benchmark")
_UNITS = "vllm-benchmark-*.service"
_LOG_LIMIT, _RESULT_LIMIT = MIB, GIB
_LINES = 12
# Above, a program that is one thread has nothing left to be on time with.
_BUSY = 0.9


@dataclass
class LoadUnit:
    """One load on one service.

    ``begun`` and ``ended`` are the seconds since the start of the run at which the load began and its last answer came,
    as far as :meth:`look` has seen them; ``begun_cpu`` and ``cpu`` the CPU seconds that were used by then and by now.
    """

    run: RunCommand
    service: str
    owner: bench.Owner
    begun: float | None = None
    ended: float | None = None
    begun_cpu: float = 0.0
    cpu: float = 0.0
    _state: dict[str, str] = field(default_factory=dict)

    @property
    def _unit(self) -> str:
        return bench.bench_unit_name(self.service)

    @property
    def _directory(self) -> Path:
        return LOAD_DIRECTORY / self.service

    @property
    def over(self) -> bool:
        """The program has ended, however."""
        return (self._state.get("ActiveState"), self._state.get("SubState")) not in (
            ("active", "running"),
            ("activating", "start"),
        )

    def start(self, executable: str, order: bench.Order, key: str | None) -> None:
        """Start the load; return when the program runs. ``key`` reaches it by a file that is gone by then."""
        self._prepare()
        key_file = LOAD_DIRECTORY / f"{self.service}.key"
        try:
            if key:
                with open(
                    os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
                ) as file:
                    file.write(_environment_file.to_text({"OPENAI_API_KEY": key}))
            properties = bench.properties(order, str(self._directory), str(key_file) if key else None, self.owner)
            command = ["systemd-run", "--quiet", "--service-type=exec", "--remain-after-exit", f"--unit={self._unit}"]
            command += [f"--property={entry}" for entry in properties]
            command += ["--", *bench.bench_command(executable, order)]
            status, out, error = self.run(command)
            if status != 0:
                raise InferenceError(f"the load generator cannot be started: {(error or out).strip()}")
        finally:
            key_file.unlink(missing_ok=True)
        self._state = {"ActiveState": "active", "SubState": "running"}

    def _prepare(self) -> None:
        LOAD_DIRECTORY.mkdir(mode=0o711, exist_ok=True)
        shutil.rmtree(self._directory, ignore_errors=True)
        (LOAD_DIRECTORY / f"{self.service}.key").unlink(missing_ok=True)
        self._directory.mkdir(mode=0o700)
        os.chown(self._directory, self.owner.user_id, self.owner.group_id)

    def look(self, seconds: float) -> None:
        """See how far it is, at so many seconds since the start of the run."""
        said = self._log()
        names = "ActiveState,SubState,Result,ExecMainStatus,CPUUsageNSec"
        status, out, _error = self.run(["systemctl", "show", f"--property={names}", self._unit])
        self._state = dict(line.split("=", 1) for line in out.splitlines() if "=" in line) if status == 0 else {}
        used = self._state.get("CPUUsageNSec", "")
        if self.ended is None and used.isdigit() and int(used) < 1 << 63:  # all bits are set where nobody counts
            self.cpu = int(used) / 1e9
        if self.begun is None and bench.BEGUN in said:
            self.begun, self.begun_cpu = seconds, self.cpu
        if self.begun is not None and self.ended is None and bench.ENDED in said:
            self.ended = seconds

    def bottleneck(self) -> str | None:
        """Return how its own work held the load back; None where it did not, or was not seen for long enough."""
        if self.begun is None or self.ended is None or self.ended - self.begun < 2:
            return None
        part = (self.cpu - self.begun_cpu) / (self.ended - self.begun)
        if part < _BUSY:
            return None
        return f"the load generator itself took {part:.0%} of a core, and it has but one thread for its requests."

    def result(self) -> Any:
        """Return what its file says; InferenceError with its last words where it left none."""
        path = self._directory / bench.RESULT_FILE
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
                return json.loads(file.read(_RESULT_LIMIT))
        except (OSError, ValueError) as error:
            if self._state.get("Result") == "timeout":
                why = "it had not ended in time and was ended; see what the service does, or raise load.seconds"
            else:
                lines = [line for line in self._log().splitlines() if line.strip()][-_LINES:]
                why = f"it ended with status {self._state.get('ExecMainStatus', '?')}: {' | '.join(lines)}"
            raise InferenceError(
                f"service '{self.service}': the load generator left no result; {why}", service=self.service
            ) from error

    def _log(self) -> str:
        with (
            contextlib.suppress(OSError),
            open(
                os.open(self._directory / bench.LOG_FILE, os.O_RDONLY | os.O_NOFOLLOW),
                encoding="utf-8",
                errors="replace",
            ) as file,
        ):
            return file.read(_LOG_LIMIT)
        return ""

    def remove(self) -> None:
        """End it, and leave nothing of it."""
        self.run(["systemctl", "stop", self._unit])
        self.run(["systemctl", "reset-failed", self._unit])
        shutil.rmtree(self._directory, ignore_errors=True)


def remove_all(run: RunCommand) -> None:
    """End every load, of a measurement that cannot do so itself any more."""
    run(["systemctl", "stop", _UNITS])
    run(["systemctl", "reset-failed", _UNITS])
    shutil.rmtree(LOAD_DIRECTORY, ignore_errors=True)
