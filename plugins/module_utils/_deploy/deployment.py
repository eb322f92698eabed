# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host as a transaction: what a new generation changes, and how it becomes active or leaves no trace."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, TypeVar

from .. import _files
from .._engine import progress
from .._engine.api import Completion, generate
from .._engine.endpoint import Endpoint
from .._errors import InferenceError
from .._generation.files import File, changed_paths, endpoints, tickets, watched
from .._generation.store import GenerationStore
from .._generation.transaction import Transaction, TransactionRecord
from .._generation.unit_links import UnitLinks
from .._host.job import OnStep
from .._host.systemd import Systemd, UnitState
from .._incidents.cause import cause
from .._places import RAY_UNITS
from .._service.ticket import started_path
from .changes import Changes, Observed, decide

_POLL_SECONDS = 1.0
# How often a rollback tries a step that it cannot leave out.
_INSISTENCE = 5
_T = TypeVar("_T")
# Lines of a service's journal that are kept to find a cause in.
_JOURNAL_LINES = 3000
# Tokens of the request that measures a service after its gate.
MEASURED_TOKENS = 32


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
        report: OnStep = lambda service, text: None,
        serving: Callable[[str], None] = lambda service: None,
        by: str = "",
    ) -> None:
        self.store = store
        self.record = record
        self._systemd = systemd
        self._links = links
        self._gate_seconds = gate_seconds
        self._report = _harmless(report)
        self._serving = serving  # told of every service of a new generation as soon as it serves
        self._by = by  # who asked for it

    def base(self) -> int | None:
        """The last generation that served: the active generation, or where an interrupted transaction came from."""
        return self.record.base(self.store)

    def _origin(self, transaction: Transaction) -> int | None:
        return self.store.kept(transaction.before)

    def observe(self, files: Mapping[str, File], ask: bool = True) -> dict[str, Observed]:
        """Every service of the host: those of ``files`` (the active generation) and any that systemd still runs.

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
        # Never started, or not by us, or spoilt by the service: the digests differ, which is the answer.
        with contextlib.suppress(OSError, ValueError, KeyError):
            started = started_path(name)
            digest = str(_files.read_object_below(started.parents[1], name, started.name)["digest"])
        if state.is_active and address is not None:
            try:
                brought = generate(address, tokens=1, deadline=self._gate_seconds)
            except InferenceError as error:
                problem = str(error)
        return Observed(state, digest, problem, brought)

    def compare(
        self, order: Sequence[str], wanted: Mapping[str, File], kept: int | None = None, asked: Sequence[str] = ()
    ) -> Changes:
        """What must change on this host to get to the ``wanted`` files, where stated those of ``kept``.

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
        """Activate ``wanted`` and return its generation; on failure the previous one serves again.

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
            self.record.close()
        except BaseException as failure:
            outcome = self._go_back(transaction, wait=number != before)
            if isinstance(failure, InferenceError) and number != before:
                failure.details.update(outcome)
            raise
        with contextlib.suppress(OSError):  # a generation too many harms nothing, and the next run collects again
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
        """Return to the generation that served, delete the one that did not, and say how that went.

        Every step that can be left out for a while is tried, and its failure told: a disk that is full or broken must
        not keep what served from serving. Only without its configuration in place is nothing started.
        """
        problems: list[str] = []
        try:
            before = _insisted(lambda: self._origin(transaction))
        except OSError as error:
            return {"rolled_back_to": transaction.before, "rollback_problem": str(error)}
        outcome: dict[str, object] = {"rolled_back_to": before}
        if before != transaction.after:
            self._report("host", f"rolling back to {'nothing' if before is None else f'generation {before}'}")
        try:
            files = _insisted(lambda: self.store.read(before))
            digests = {name: ticket.digest for name, ticket in tickets(files).items()}
            again = decide(list(digests), digests, self.observe(files, ask=False))
            self._stop(again, files)
            if before is None:
                self._systemd.stop_all(())  # the target, whose file goes
            problems += self._return(transaction)
            if before is None:
                self._systemd.forget_all()
            cursor = self._systemd.cursor()
            if before is not None:
                self._systemd.start(again.touched)
                self._systemd.watch(watched(files))
            # With something left over the record stays, so that the next run, or the next boot, rolls back again.
            if not problems:
                problems += _tried(self.record.close)
            if wait:
                self._await(again.touched, cursor)
        except (InferenceError, OSError) as error:
            # A service that cannot start with its old configuration either is a finding of its own.
            problems.append(str(error))
        return {**outcome, "rollback_problem": " ".join(problems)} if problems else outcome

    def _return(self, transaction: Transaction) -> list[str]:
        """Make the next start read the generation that served; return the problems of steps that can be left out.

        Raises InferenceError or OSError where its configuration cannot be put in place.
        """
        before = _insisted(lambda: self._origin(transaction))
        files = _insisted(lambda: self.store.read(before))
        if before is not None:
            _insisted(lambda: self._links.add(files))
        _insisted(lambda: self.store.switch(before))
        problems = _tried(lambda: self._links.remove_except(files))
        if before is None:
            problems += _tried(self._links.remove_all)
        self._systemd.reload()
        if transaction.new and transaction.after != before:
            problems += _tried(lambda: self.store.remove(transaction.after))
        return problems

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
            phase = progress.phase(line.text)
            if phase:
                self._report(line.service, phase)
        return cursor

    @staticmethod
    def _failure(name: str, journal: Sequence[str]) -> InferenceError:
        incident = cause(journal)
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

    def measure(self, files: Mapping[str, File]) -> dict[str, Completion]:
        """One request to every service, one after another; the numbers a user wants to see first.

        Each has passed its gate: one that is too slow at this moment is reported and left out, and fails nothing.
        """
        measured = {}
        for name, address in endpoints(files).items():
            try:
                measured[name] = generate(address, MEASURED_TOKENS, self._gate_seconds)
            except InferenceError as error:
                self._report(name, f"serves, but is slow: {error}")
        return measured


def _harmless(report: OnStep) -> OnStep:
    """Return ``report`` without its failures: progress that cannot be written changes nothing for the host."""

    def safe(service: str, text: str) -> None:
        with contextlib.suppress(OSError):
            report(service, text)

    return safe


def _insisted(step: Callable[[], _T]) -> _T:
    """Return what a step of a rollback returns that nothing can do without; a disk has a few seconds to recover."""
    for _attempt in range(_INSISTENCE - 1):
        with contextlib.suppress(InferenceError, OSError):
            return step()
        time.sleep(_POLL_SECONDS)
    return step()


def _tried(step: Callable[[], object]) -> list[str]:
    """Take a step of a rollback that can be left out, and return why it failed, if it did."""
    try:
        _insisted(step)
    except (InferenceError, OSError) as error:
        return [str(error)]
    return []
