# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of one service as a group: who belongs to which start of its leader, and who must start again. Pure.

The engine's ranks find each other once, when they start. One that ends later takes the others with it: they wait for it
in the middle of a step, or answer nobody, and a rank that starts anew cannot join those that are there
(docs/several-hosts.md). So each host tells the others how its part is, and ends its engine where a part of the same
start has gone; systemd starts it again, and a follower waits for a start of the leader that it has not yet been in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .._errors import InferenceError

# Looks in a row that a host may leave unanswered: it may restart its unit, or be too busy for a while. Counted, because
# who is too busy to look has not been left without an answer.
MISSES = 6
# Hosts that are given another configuration get it at nearly the same time, but one may first stop what serves,
# which takes its shutdown timeout (seconds).
DISAGREEMENT = 180.0

STOPPED, ADMITTING, STARTING, SERVING, FAILED = "stopped", "admitting", "starting", "serving", "failed"
_STATES = (STOPPED, ADMITTING, STARTING, SERVING, FAILED)
_ALIVE = (STARTING, SERVING)


@dataclass(frozen=True)
class Group:
    """The place of one host in the group of a service.

    ``addresses`` by rank, the leader's first; ``port`` is where each tells how it is; ``digest`` is of what all of them
    have in common.
    """

    node_rank: int
    addresses: tuple[str, ...]
    master_port: int
    port: int
    digest: str

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Group | None:
        """The group out of a ticket."""
        return None if values is None else cls(**{**values, "addresses": tuple(values["addresses"])})

    @property
    def leads(self) -> bool:
        """Tell whether this host is the group's first."""
        return self.node_rank == 0

    @property
    def address(self) -> str:
        """Return this host's address in the group."""
        return self.addresses[self.node_rank]

    @property
    def asked(self) -> tuple[str, ...]:
        """Whom this host asks: the leader everybody, the others the leader."""
        return self.addresses[1:] if self.leads else self.addresses[:1]


@dataclass(frozen=True)
class Member:
    """What a host reports of its part.

    ``incarnation`` is the start of the leader that its engine belongs to, None where it has none; ``left`` the last one
    that it was in and is no longer.
    """

    digest: str
    state: str
    incarnation: str | None = None
    left: str | None = None

    def to_json(self) -> str:
        """Return the group's member as text, for its file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Member:
        """Read what another host tells; InferenceError for anything else."""
        try:
            member = cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise InferenceError(f"a host of the group answers something else ({type(error).__name__})") from error
        texts = (member.digest, member.incarnation or "", member.left or "")
        if member.state not in _STATES or not all(isinstance(item, str) for item in texts):
            raise InferenceError("a host of the group answers something else")
        return member


def obstacle(leader: Member | None, digest: str, left: str | None) -> str | None:
    """Return why a follower cannot join the leader's engine now; None where it can."""
    if leader is None:
        return "the leader does not answer"
    if leader.digest != digest:
        return "the leader has another configuration of the service"
    if leader.state != STARTING:
        return f"the leader is {leader.state}"
    if leader.incarnation == left:
        return "the leader has not started anew"
    return None


class Judge:
    """Says, look by look, whether this host's engine must end because of what the others tell."""

    def __init__(self, leads: bool) -> None:
        self._leads = leads
        self._since: dict[str, float] = {}
        self._misses: dict[str, int] = {}

    def verdict(self, now: float, own: Member, others: Mapping[str, Member | None]) -> str | None:
        """Return why the engine must end, None where it may go on; ``now`` in seconds, None is no answer."""
        if own.state not in _ALIVE or own.incarnation is None:
            self._since.clear()
            self._misses.clear()
            return None
        for address, other in others.items():
            why = self._because_of(now, own, address, other)
            if why:
                return f"{address} {why}"
        return None

    def _because_of(self, now: float, own: Member, address: str, other: Member | None) -> str | None:
        awaited = self._leads and own.state == STARTING  # the others may come when they can
        self._misses[address] = 0 if other or awaited else self._misses.get(address, 0) + 1
        if other is None:
            missed = self._misses[address]
            return f"does not answer, {missed} times in a row" if missed >= MISSES else None
        if self._leads and other.left == own.incarnation:
            return "has lost its part of this start"
        if awaited and other.digest != own.digest:
            since = self._since.setdefault(address, now)
            lasting = now - since > DISAGREEMENT
            return f"has another configuration of the service, for {now - since:.0f} s" if lasting else None
        self._since.pop(address, None)
        if awaited:
            return None
        if other.incarnation != own.incarnation:
            return "belongs to another start" if other.incarnation else f"is {other.state}"
        return None if self._leads or other.state in _ALIVE else f"is {other.state}"
