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
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from . import _environment_file, _incidents, _progress
from ._changes import Changes, Observed, decide
from ._errors import InferenceError
from ._generation import File, GenerationStore, changed_paths
from ._health import Endpoint, Generation, generate
from ._places import RAY_UNITS
from ._systemd import Systemd, UnitState
from ._ticket import Ticket, started_path
from ._transaction import Transaction, TransactionRecord
from ._unit_links import UnitLinks

_POLL_SECONDS = 1.0
# Lines of a service's journal that are kept to find a cause in.
_JOURNAL_LINES = 3000
# Tokens of the request that measures a service after its gate.
MEASURED_TOKENS = 32

Report = Callable[[str, str], None]


def tickets(files: Mapping[str, File]) -> dict[str, Ticket]:
    """The ticket of every service of a generation's files; one that was spoilt by hand is none."""
    found = {}
    for path, file in files.items():
        if path.startswith("services/") and path.endswith("/guard.json"):
            with contextlib.suppress(InferenceError):
                ticket = Ticket.from_json(file.text)
                found[ticket.service] = ticket
    return found


def watched(files: Mapping[str, File]) -> dict[str, bool]:
    """Whether each service of a generation's files has a watchdog."""
    return {name: ticket.watchdog.enabled for name, ticket in tickets(files).items()}


def variables(file: File | None) -> dict[str, str]:
    """The environment variables of a file; none where there is no file."""
    return _environment_file.from_text(file.text) if file else {}


def api_key(files: Mapping[str, File], service: str) -> str | None:
    """The key that a service asks its clients for, out of its secrets file."""
    return variables(files.get(f"services/{service}/secrets")).get("VLLM_API_KEY")


def endpoint(files: Mapping[str, File], ticket: Ticket) -> Endpoint:
    """Where a service of these files answers."""
    return ticket.endpoint_with(api_key(files, ticket.service))


def endpoints(files: Mapping[str, File]) -> dict[str, Endpoint]:
    """Where each service of a generation's files answers; one that answers on another host is not among them."""
    return {name: endpoint(files, ticket) for name, ticket in tickets(files).items() if ticket.answers}


class Deployment:
    """One host: its generations, its units, and the way from one generation to the next."""

    def __init__(
        self,
        store: GenerationStore,
        record: TransactionRecord,
        systemd: Systemd,
        links: UnitLinks,
        gate_seconds: float,
        *,
        report: Report = lambda service, text: None,
        serving: Callable[[str], None] = lambda service: None,
        by: str = "",
    ) -> None:
        self.store = store
        self.record = record
        self._systemd = systemd
        self._links = links
        self._gate_seconds = gate_seconds
        self._report = report
        self._serving = serving  # told of every service of a new generation as soon as it serves
        self._by = by  # who asked for it

    def base(self) -> int | None:
        """The last generation that served: the one in force, or where an interrupted transaction came from."""
        return self.record.base(self.store)

    def _origin(self, transaction: Transaction) -> int | None:
        return self.store.kept(transaction.before)

    def observe(self, files: Mapping[str, File], ask: bool = True) -> dict[str, Observed]:
        """Every service of the host: those of ``files`` (the generation in force) and any that systemd still runs.

        With ``ask`` each active one is asked for a token, all side by side, and the answer is its health.
        """
        known = tickets(files)
        names = sorted(set(known) | set(self._systemd.loaded_services()))
        states = self._systemd.states(names)
        addresses = endpoints(files) if ask else {}
        with ThreadPoolExecutor(max_workers=max(1, len(names))) as threads:
            found = threads.map(lambda name: self._observe_one(name, states[name], addresses.get(name)), names)
            return dict(zip(names, found))

    def _observe_one(self, name: str, state: UnitState, address: Endpoint | None) -> Observed:
        digest, problem, brought = None, None, None
        # Never started, or not by us: the digests differ, which is the answer.
        with contextlib.suppress(OSError, ValueError, KeyError):
            digest = json.loads(started_path(name).read_text())["digest"]
        if state.is_active and address is not None:
            try:
                brought = generate(address, tokens=1, deadline=self._gate_seconds)
            except InferenceError as error:
                problem = str(error)
        return Observed(state, digest, problem, brought)

    def compare(
        self, order: Sequence[str], wanted: Mapping[str, File], kept: int | None = None, asked: Sequence[str] = ()
    ) -> Changes:
        """What has to change on this host to get to the ``wanted`` files, where stated those of ``kept``.

        Services that are ``asked`` to restart do.
        """
        base = self.base()
        before = self.store.read(base)
        digests = {name: ticket.digest for name, ticket in tickets(wanted).items()}
        interrupted = self.record.read() is not None
        links = dict(self._links.differences(wanted))
        number = base if kept is None else kept
        if number is not None and number != self.store.current() and (kept is not None or not interrupted):
            links[str(self.store.link)] = self.store.link_change(number)
        files = sorted({*changed_paths(before, wanted), *self.store.damage(base)})
        return decide(order, digests, self.observe(before), files, links, interrupted=interrupted, asked=asked)

    def apply(self, changes: Changes, wanted: Mapping[str, File], keep: int, kept: int | None = None) -> int:
        """Bring ``wanted`` into force and return its generation; on failure the previous one serves again.

        ``wanted`` are the files of the generation ``kept``, or of one that is written now. Raises InferenceError with
        the cause out of the journal of the service that failed, and with what was done.
        """
        interrupted = self.record.read()
        if interrupted is not None:
            self._return(interrupted)
        before = self.store.base()
        if kept is not None:
            number, new = kept, False
        elif before is None or changes.files:
            number, new = self.store.next_number(), True
        else:
            number, new = before, False
        transaction = Transaction(before, number, new, time.strftime("%Y-%m-%d %H:%M:%S %Z"), self._by)
        self.store.prepare()
        self.record.open(transaction)
        try:
            if new:
                self.store.write(wanted, number, replaces=before)
            self._switch(number, changes, wanted)
        except BaseException as failure:
            outcome = self._go_back(transaction, wait=number != before)
            if isinstance(failure, InferenceError) and number != before:
                failure.details.update(outcome)
            raise
        self.record.close()
        self.store.collect(keep, before)
        return number

    def _switch(self, number: int, changes: Changes, wanted: Mapping[str, File]) -> None:
        names = list(tickets(wanted))
        self._links.add(wanted)
        self.store.stage(number)
        self._stop(changes, wanted)
        self.store.switch(number)
        self._links.remove_except(wanted)
        self._systemd.reload()
        cursor = self._systemd.cursor()
        touched = [name for name in names if name in changes.touched]
        self._systemd.start(touched)
        self._systemd.watch(watched(wanted))
        self._await(touched, cursor, self._serving)

    def _stop(self, changes: Changes, wanted: Mapping[str, File]) -> None:
        stopping = [*changes.remove, *reversed(list(changes.restart))]
        for name in stopping:
            self._report(name, "stopping")
        self._systemd.stop(stopping)
        if changes.remove and not any(f"systemd/{unit}" in wanted for unit in RAY_UNITS):
            self._systemd.stop_ray()

    def recover(self, wait: bool = True) -> dict[str, object]:
        """Return from a transaction that nobody carries on, and say how that went; {} where there is none.

        With ``wait`` every service of the generation that serves again has generated a token on return; at boot that
        is left to systemd. The caller holds the host's lock.
        """
        interrupted = self.record.read()
        return self._go_back(interrupted, wait) if interrupted else {}

    def _go_back(self, transaction: Transaction, wait: bool) -> dict[str, object]:
        """Return to the generation that served, delete the one that did not, and say how that went."""
        before = self._origin(transaction)
        if before != transaction.after:
            self._report("host", f"rolling back to {'nothing' if before is None else f'generation {before}'}")
        files = self.store.read(before)
        digests = {name: ticket.digest for name, ticket in tickets(files).items()}
        again = decide(list(digests), digests, self.observe(files, ask=False))
        self._stop(again, files)
        if before is None:
            self._systemd.stop_all(())  # the target, whose file goes
        self._return(transaction)
        if before is None:
            self._systemd.forget_all()
        cursor = self._systemd.cursor()
        try:
            if before is not None:
                self._systemd.start(again.touched)
                self._systemd.watch(watched(files))
            self.record.close()
            if wait:
                self._await(again.touched, cursor)
        except InferenceError as error:
            # The configuration is back; a service that cannot start with it either is a finding of its own.
            return {"rolled_back_to": before, "rollback_problem": str(error)}
        return {"rolled_back_to": before}

    def _return(self, transaction: Transaction) -> None:
        """The lasting half of the way back: what is read at the next start is the generation that served."""
        before = self._origin(transaction)
        files = self.store.read(before)
        if before is not None:
            self._links.add(files)
        self.store.switch(before)
        self._links.remove_except(files)
        if before is None:
            self._links.remove_all()
        self._systemd.reload()
        if transaction.new and transaction.after != before:
            self.store.remove(transaction.after)

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

    def present(self) -> bool:
        """Whether anything of a deployment is on the host."""
        left = self.store.numbers() or self._links.present() or self.record.read()
        return bool(left or self._systemd.loaded_services())

    def remove(self) -> bool:
        """Stop every service and delete units and generations; returns whether there was anything to delete."""
        if not self.present():
            return False
        names = sorted({*tickets(self.store.in_force()), *self._systemd.loaded_services()})
        self._systemd.stop_all(names)
        self._links.remove_all()
        self.store.remove_all()
        self.record.close()
        self._systemd.reload()
        self._systemd.forget_all()
        return True

    def measure(self, files: Mapping[str, File]) -> dict[str, Generation]:
        """One request to every service, one after another; the numbers a user wants to see first.

        Each has passed its gate: one that is too slow at this moment is told of and left out, and fails nothing.
        """
        measured = {}
        for name, address in endpoints(files).items():
            try:
                measured[name] = generate(address, MEASURED_TOKENS, self._gate_seconds)
            except InferenceError as error:
                self._report(name, f"serves, but is slow: {error}")
        return measured
