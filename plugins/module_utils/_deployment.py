# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host as a transaction: what a new generation changes, and how it comes into force or leaves no trace."""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Callable

from . import _incidents, _progress
from ._errors import InferenceError
from ._generation import File, GenerationStore, changed_paths
from ._health import Endpoint, Generation, generate
from ._systemd import Systemd, UnitState
from ._ticket import Ticket, started_path
from ._unit_links import UnitLinks

_POLL_SECONDS = 1.0
# Lines of a service's journal that are kept to find a cause in.
_JOURNAL_LINES = 3000
# Tokens of the request that measures a service after its gate.
MEASURED_TOKENS = 32

Report = Callable[[str, str], None]


@dataclass(frozen=True)
class Observed:
    """A service as it is now; ``digest`` is what its engine was started with, ``problem`` why it is not healthy."""

    state: UnitState
    digest: str | None
    problem: str | None


@dataclass(frozen=True)
class Changes:
    """What a deployment will do. Services are named in the order in which they start."""

    files: Sequence[str]
    start: Sequence[str]
    restart: Mapping[str, str]
    remove: Sequence[str]
    links: bool

    @property
    def any(self) -> bool:
        """Whether anything on the host differs from what is wanted."""
        return bool(self.files or self.start or self.restart or self.remove or self.links)

    @property
    def touched(self) -> list[str]:
        """Services that will load an engine."""
        return [*self.start, *self.restart]


def decide(
    order: Sequence[str],
    wanted: Mapping[str, str],
    observed: Mapping[str, Observed],
    files: Sequence[str],
    links: bool,
) -> Changes:
    """Pure: which services start, restart (and why) and go.

    ``order`` is the start order of the plan, ``wanted`` the digest of each of its services, ``observed`` every
    service that is on the host.
    """
    start, restart = [], {}
    for name in order:
        now = observed.get(name)
        if now is None or now.state.active in ("inactive", "failed", "deactivating"):
            start.append(name)
        elif now.digest != wanted[name]:
            restart[name] = "its configuration changed"
        elif not now.state.is_active:
            restart[name] = f"it is {now.state.active} ({now.state.sub})"
        elif now.problem:
            restart[name] = now.problem
    remove = sorted(name for name in observed if name not in wanted)
    return Changes(files, start, restart, remove, links)


def tickets(files: Mapping[str, File]) -> dict[str, Ticket]:
    """The ticket of every service of a generation's files."""
    found = {}
    for path, file in files.items():
        if path.startswith("services/") and path.endswith("/guard.json"):
            ticket = Ticket.from_json(file.text)
            found[ticket.service] = ticket
    return found


def api_key(files: Mapping[str, File], service: str) -> str | None:
    """The key that a service asks its clients for, out of its secrets file."""
    secrets = files.get(f"services/{service}/secrets")
    for line in secrets.text.splitlines() if secrets else []:
        name, _equals, quoted = line.partition("=")
        if name == "VLLM_API_KEY":
            return quoted[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return None


def endpoint(files: Mapping[str, File], ticket: Ticket) -> Endpoint:
    """Where a service of these files answers."""
    return Endpoint(ticket.host, ticket.port, ticket.model, api_key(files, ticket.service))


def endpoints(files: Mapping[str, File]) -> dict[str, Endpoint]:
    """Where each service of a generation's files answers."""
    return {name: endpoint(files, ticket) for name, ticket in tickets(files).items()}


class Deployment:
    """One host: its generations, its units, and the way from one generation to the next."""

    def __init__(
        self,
        store: GenerationStore,
        systemd: Systemd,
        links: UnitLinks,
        gate_seconds: float,
        report: Report = lambda service, text: None,
        *,
        serving: Callable[[str], None] = lambda service: None,
    ) -> None:
        self.store = store
        self._systemd = systemd
        self._links = links
        self._gate_seconds = gate_seconds
        self._report = report
        self._serving = serving  # told of every service of a new generation as soon as it serves

    def observe(self, files: Mapping[str, File], ask: bool = True) -> dict[str, Observed]:
        """Every service of the host: those of ``files`` (the generation in force) and any that systemd still runs.

        With ``ask`` each active one is asked for a token, and the answer is its health.
        """
        known = tickets(files)
        names = sorted(set(known) | set(self._systemd.loaded_services()))
        states = self._systemd.states(names)
        addresses = endpoints(files) if ask else {}
        return {name: self._observe_one(name, states[name], addresses.get(name)) for name in names}

    def _observe_one(self, name: str, state: UnitState, address: Endpoint | None) -> Observed:
        digest, problem = None, None
        # Never started, or not by us: the digests differ, which is the answer.
        with contextlib.suppress(OSError, ValueError, KeyError):
            digest = json.loads(started_path(name).read_text())["digest"]
        if state.is_active and address is not None:
            try:
                generate(address, tokens=1, deadline=self._gate_seconds)
            except InferenceError as error:
                problem = str(error)
        return Observed(state, digest, problem)

    def compare(self, order: Sequence[str], wanted: Mapping[str, File]) -> Changes:
        """What has to change on this host to get to the ``wanted`` files."""
        in_force = self.store.in_force()
        digests = {name: ticket.digest for name, ticket in tickets(wanted).items()}
        links = not self._links.complete(order)
        return decide(order, digests, self.observe(in_force), changed_paths(in_force, wanted), links)

    def apply(self, changes: Changes, wanted: Mapping[str, File], keep: int) -> int:
        """Bring ``wanted`` into force and return its generation; on failure the previous one serves again.

        Raises InferenceError with the cause out of the journal of the service that failed, and with what was done.
        """
        before = self.store.current()
        number = self.store.write(wanted) if changes.files or before is None else before
        try:
            self._switch(number, changes, wanted)
        except BaseException as failure:
            if number != before:
                outcome = self._roll_back(before, number, changes)
                if isinstance(failure, InferenceError):
                    failure.details.update(outcome)
            raise
        self.store.collect(keep)
        return number

    def _switch(self, number: int, changes: Changes, wanted: Mapping[str, File]) -> None:
        names = list(tickets(wanted))
        self._links.add(names)
        stopping = [*changes.remove, *reversed(list(changes.restart))]
        for name in stopping:
            self._report(name, "stopping")
        self._systemd.stop(stopping)
        self.store.switch(number)
        self._links.remove_except(names)
        self._systemd.reload()
        cursor = self._systemd.cursor()
        touched = [name for name in names if name in changes.touched]
        self._systemd.start(touched)
        self._await(touched, cursor, self._serving)

    def _await(self, names: Sequence[str], cursor: str, serving: Callable[[str], None] = lambda service: None) -> None:
        """Return when every service is active, which for our units means: it has generated a token."""
        started = time.monotonic()
        pending = list(names)
        journals: dict[str, deque[str]] = {name: deque(maxlen=_JOURNAL_LINES) for name in names}
        while pending:
            time.sleep(_POLL_SECONDS)
            states = self._systemd.states(pending)
            cursor = self._read_journal(names, cursor, journals)
            for name in list(pending):
                if states[name].is_active:
                    pending.remove(name)
                    self._report(name, f"serving after {time.monotonic() - started:.0f} s")
                    serving(name)
                elif states[name].has_failed_to_start:
                    time.sleep(_POLL_SECONDS)  # the last lines reach the journal after the process has gone
                    self._read_journal(names, cursor, journals)
                    raise self._failure(name, list(journals[name]))

    def _read_journal(self, names: Sequence[str], cursor: str, journals: Mapping[str, deque[str]]) -> str:
        lines, cursor = self._systemd.journal(names, cursor)
        for line in lines:
            journals[line.service].append(line.text)
            phase = _progress.phase(line.text)
            if phase:
                self._report(line.service, phase)
        return cursor

    @staticmethod
    def _failure(name: str, journal: Sequence[str]) -> InferenceError:
        incident = _incidents.cause(journal)
        return InferenceError(
            f"service '{name}' did not pass its gate: {incident.line} ({incident.remedy})",
            service=name,
            incident=vars(incident),
        )

    def _roll_back(self, before: int | None, failed: int, changes: Changes) -> dict[str, object]:
        """Return to the generation that served, delete the one that did not, and say how that went."""
        self._report(
            "host", f"rolling back to generation {before}" if before is not None else "rolling back to nothing"
        )
        names = list(tickets(self.store.read(before)))
        self._systemd.stop(changes.touched)
        self.store.switch(before)
        self._links.remove_except(names)
        if before is None:
            self._links.remove_all()
        self._systemd.reload()
        self.store.remove(failed)
        again = [name for name in names if name in changes.touched or name in changes.remove]
        cursor = self._systemd.cursor()
        try:
            if before is not None:
                self._systemd.start(again)
            self._await(again, cursor)
        except InferenceError as error:
            # The configuration is back; a service that cannot start with it either is a finding of its own.
            return {"rolled_back_to": before, "rollback_problem": str(error)}
        return {"rolled_back_to": before}

    def present(self) -> bool:
        """Whether anything of a deployment is on the host."""
        return bool(self._systemd.loaded_services() or self.store.numbers() or self._links.present())

    def remove(self) -> bool:
        """Stop every service and delete units and generations; returns whether there was anything to delete."""
        if not self.present():
            return False
        names = sorted({*tickets(self.store.in_force()), *self._systemd.loaded_services()})
        self._systemd.stop_all(names)
        self._links.remove_all()
        self.store.remove_all()
        self._systemd.reload()
        return True

    def measure(self, files: Mapping[str, File]) -> dict[str, Generation]:
        """One request to every service, one after another; the numbers a user wants to see first."""
        return {
            name: generate(address, MEASURED_TOKENS, self._gate_seconds) for name, address in endpoints(files).items()
        }
