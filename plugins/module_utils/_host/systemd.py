# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few calls of systemctl and journalctl that a deployment needs."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Callable

from .._errors import InferenceError
from .._places import RAY_UNITS, TARGET_UNIT, timer_name, unit_name

# AnsibleModule.run_command, or anything with its shape: command -> (exit status, stdout, stderr).
RunCommand = Callable[[Sequence[str]], "tuple[int, str, str]"]

_PROPERTIES = ("Id", "ActiveState", "SubState", "Result", "NRestarts", "MainPID", "Job")


# A line may reach the journal a little after the moment that it reports.
_STARTUP_SECONDS = 3
# What dies of SIGTERM has died by then, and Podman removes its container: nothing of that is to be killed.
_OBEDIENT_SECONDS = 1


@dataclass(frozen=True)
class UnitState:
    """What systemd says of one service; ``restarts`` counts automatic restarts since the last explicit start."""

    active: str
    sub: str
    result: str
    restarts: int
    main_pid: int
    has_job: bool

    @property
    def is_active(self) -> bool:
        """Started, first token included: the unit's start ends with it."""
        return self.active == "active"

    @property
    def has_failed_to_start(self) -> bool:
        """Of a unit whose start was just queued: given up, at its second attempt, or without its job.

        An engine that crashes exits 0, so that the result alone does not tell.
        """
        given_up = self.active == "failed" or self.result not in ("", "success")
        again = self.sub == "auto-restart" or self.restarts > 0
        return given_up or again or (self.active == "inactive" and not self.has_job)


@dataclass(frozen=True)
class JournalLine:
    """One line of a service's journal."""

    service: str
    text: str


def run_command(command: Sequence[str]) -> tuple[int, str, str]:
    """Run a command for a program of a unit, where there is no module; return status, output and errors."""
    done = subprocess.run(  # pylint: disable=ansible-bad-function
        list(command), capture_output=True, text=True, errors="replace", check=False
    )
    return done.returncode, done.stdout, done.stderr


class Systemd:
    """systemctl and journalctl of this host."""

    def __init__(self, run_command: RunCommand) -> None:
        self._run = run_command

    def _systemctl(self, *arguments: str) -> str:
        status, out, error = self._run(["systemctl", *arguments])
        if status != 0:
            raise InferenceError(f"systemctl {' '.join(arguments)} failed: {(error or out).strip()}")
        return out

    def reload(self) -> None:
        """Read the unit files again."""
        self._systemctl("daemon-reload")

    def start(self, services: Iterable[str]) -> None:
        """Queue the starts of all these services at once and return; their ordering is systemd's work.

        One that somebody else is stopping is waited for: systemd tries a queued start again at every step of the stop,
        and counts each of them against the start limit.
        """
        names = list(services)
        units = [unit_name(name) for name in names]
        stopping = [unit_name(name) for name, state in self.states(names).items() if state.active == "deactivating"]
        if stopping:
            self._systemctl("stop", *stopping)
        if units:
            self._run(["systemctl", "reset-failed", *units])  # fails for a unit that is not loaded, which is fine
        self._systemctl("start", "--no-block", *units, TARGET_UNIT)

    def watch(self, services: Mapping[str, bool]) -> None:
        """Have these services looked at as their timers now say (True), or not at all."""
        for verb, wanted in (("restart", True), ("stop", False)):
            timers = [timer_name(name) for name, watched in services.items() if watched is wanted]
            if timers:
                self._systemctl(verb, "--no-block", *timers)

    def stop(self, services: Iterable[str]) -> None:
        """Stop these services and wait until their processes are gone.

        An engine that is still loading has no request to finish, and ignores SIGTERM: it is killed.
        """
        # One that systemd does not know has nothing to stop, and its name would fail the others.
        known = self.loaded_services()
        names = [name for name in services if name in known]
        if not names:
            return
        units = [unit_name(name) for name in names]
        starting = [name for name, state in self.states(names).items() if state.active == "activating"]
        self._systemctl("stop", "--no-block", *units)
        if starting:
            time.sleep(_OBEDIENT_SECONDS)
            ignoring = [unit_name(name) for name, state in self.states(starting).items() if state.sub == "stop-sigterm"]
            if ignoring:
                self._run(["systemctl", "kill", "--signal=SIGKILL", *ignoring])  # fails for one that is gone already
        self._systemctl("stop", *units)

    def forget_all(self) -> None:
        """Have systemd forget services and what belongs to them, whose files are gone, and how one ended."""
        self._run(["systemctl", "reset-failed", "vllm@*", "vllm-*@*", *RAY_UNITS])

    def stop_all(self, services: Iterable[str]) -> None:
        """Stop the target, these services and what they needed."""
        self._run(["systemctl", "stop", TARGET_UNIT])  # fails where somebody has removed it
        self.stop(services)
        self.stop_ray()

    def stop_ray(self) -> None:
        """Stop what starts the ranks of services that are stopped already.

        It ends by itself when nobody needs it, but not at once, and not while it waits to be started again: without
        its file systemd would count that as failed.
        """
        self._run(["systemctl", "stop", *RAY_UNITS])  # fails for the one that is not on this host

    def states(self, services: Sequence[str]) -> dict[str, UnitState]:
        """The state of every service, in one call."""
        if not services:
            return {}
        properties = ",".join(_PROPERTIES)
        out = self._systemctl("show", f"--property={properties}", *(unit_name(name) for name in services))
        blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n")]
        by_unit = {block["Id"]: block for block in blocks if "Id" in block}
        return {name: _unit_state(by_unit.get(unit_name(name), {})) for name in services}

    def loaded_services(self) -> list[str]:
        """Every ``vllm@NAME.service`` that systemd knows of, running or not."""
        out = self._systemctl("list-units", "--all", "--plain", "--no-legend", "vllm@*.service")
        names = [line.split()[0] for line in out.splitlines() if line.strip()]
        return [name[len("vllm@") : -len(".service")] for name in names]

    def cursor(self) -> str:
        """The journal's present end; lines after it belong to what happens next."""
        status, out, _error = self._run(["journalctl", "--lines=0", "--show-cursor", "--quiet"])
        return out.partition("-- cursor: ")[2].strip() if status == 0 else ""

    def journal(self, services: Sequence[str], cursor: str) -> tuple[list[JournalLine], str]:
        """The services' lines after ``cursor``, and the cursor after them."""
        names = {unit_name(name): name for name in services}
        command = ["journalctl", "--output=json", "--quiet", "--no-pager"]
        command += [f"--after-cursor={cursor}"] if cursor else ["--lines=2000"]
        status, out, _error = self._run([*command, *(f"--unit={unit}" for unit in names)])
        lines = []
        for entry in out.splitlines() if status == 0 else []:
            fields: Mapping[str, object] = json.loads(entry)
            cursor = str(fields.get("__CURSOR", cursor))
            service = names.get(str(fields.get("_SYSTEMD_UNIT", fields.get("UNIT", ""))))
            if service:
                lines.append(JournalLine(service, message(fields.get("MESSAGE"))))
        return lines, cursor

    def startup(self, service: str) -> list[str]:
        """Everything that an active service wrote until a moment after it became active."""
        unit = unit_name(service)
        out = self._systemctl("show", "--property=InvocationID,ActiveEnterTimestampMonotonic", unit)
        fields = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        active = int(fields.get("ActiveEnterTimestampMonotonic", "0") or 0) / 1e6
        if not active or not fields.get("InvocationID"):
            return []
        until = int(time.time() - time.monotonic() + active) + _STARTUP_SECONDS
        match = f"_SYSTEMD_INVOCATION_ID={fields['InvocationID']}"
        command = ["journalctl", "--output=cat", "--quiet", "--no-pager", f"--until=@{until}", match]
        status, lines, _error = self._run(command)
        return lines.splitlines() if status == 0 else []


def _unit_state(fields: Mapping[str, str]) -> UnitState:
    return UnitState(
        active=fields.get("ActiveState", "inactive"),
        sub=fields.get("SubState", "dead"),
        result=fields.get("Result", ""),
        restarts=int(fields.get("NRestarts", "0") or 0),
        main_pid=int(fields.get("MainPID", "0") or 0),
        has_job=fields.get("Job", "0") not in ("", "0"),
    )


def message(field: object) -> str:
    """journald gives a line that is not valid UTF-8 as a list of bytes."""
    if isinstance(field, list):
        return bytes(field).decode("utf-8", "replace")
    return str(field or "")
