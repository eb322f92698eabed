# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of one service: who may join, and whose engine must end because of what the others tell."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._guard import group_member
from ansible_collections.llmops.inference.plugins.module_utils._service.group import (
    DISAGREEMENT,
    MISSES,
    Group,
    Judge,
    Member,
    obstacle,
)
from ansible_collections.llmops.inference.plugins.module_utils._service.ticket import Ticket
from hypothesis import given
from hypothesis import strategies as st

B = "10.0.0.2"
LEADER = Member("d", "serving", "first")
FOLLOWER = Member("d", "serving", "first")


def verdicts(leads: bool, *looks: tuple[float, Member, Member | None]) -> list[str | None]:
    judge = Judge(leads)
    return [judge.verdict(now, own, {B: other}) for now, own, other in looks]


def one(leads: bool, own: Member, other: Member | None) -> str | None:
    return verdicts(leads, (0.0, own, other))[0]


def test_hosts_of_one_start_leave_each_other_alone() -> None:
    assert one(True, LEADER, FOLLOWER) is None
    assert one(False, FOLLOWER, LEADER) is None
    starting = replace(LEADER, state="starting")
    assert one(True, starting, replace(FOLLOWER, state="starting")) is None
    assert one(False, replace(FOLLOWER, state="starting"), starting) is None


def test_a_leader_ends_when_a_part_of_its_start_is_gone() -> None:
    gone = Member("d", "stopped", None, left="first")
    assert one(True, LEADER, gone) == f"{B} has lost its part of this start"
    assert one(True, replace(LEADER, state="starting"), gone) == f"{B} has lost its part of this start"
    assert one(True, LEADER, Member("d", "admitting", None, left="before")) == f"{B} is admitting"
    assert one(True, LEADER, replace(FOLLOWER, incarnation="before")) == f"{B} belongs to another start"


def test_a_leader_that_starts_waits_for_those_that_have_not_come() -> None:
    starting = replace(LEADER, state="starting")
    waiting = Member("d", "admitting", None, left="before")
    assert verdicts(True, (0, starting, None), (9999, starting, None), (9999, starting, waiting)) == [None] * 3


def test_a_follower_ends_when_its_leader_has_ended_or_started_anew() -> None:
    assert one(False, FOLLOWER, replace(LEADER, incarnation="second")) == f"{B} belongs to another start"
    assert one(False, FOLLOWER, Member("d", "stopped")) == f"{B} is stopped"
    assert one(False, FOLLOWER, Member("d", "failed")) == f"{B} is failed"


@pytest.mark.parametrize("leads", [True, False])
def test_silence_is_borne_for_a_while(leads: bool) -> None:
    said = verdicts(leads, *[(0.0, LEADER, None)] * MISSES)
    assert said == [*[None] * (MISSES - 1), f"{B} does not answer, 6 times in a row"]


def test_an_answer_ends_the_silence() -> None:
    silence: list[tuple[float, Member, Member | None]] = [(0.0, LEADER, None)] * (MISSES - 1)
    assert verdicts(True, *silence, (0.0, LEADER, FOLLOWER), *silence) == [None] * (2 * MISSES - 1)


def test_a_leader_does_not_wait_for_ever_for_a_host_that_has_another_configuration() -> None:
    starting, other = replace(LEADER, state="starting"), Member("e", "serving", "before")
    said = verdicts(True, (0, starting, other), (DISAGREEMENT, starting, other), (DISAGREEMENT + 1, starting, other))
    assert said == [None, None, f"{B} has another configuration of the service, for 181 s"]


@pytest.mark.parametrize("state", ["stopped", "admitting", "failed"])
def test_where_no_engine_runs_there_is_none_to_end(state: str) -> None:
    assert one(True, replace(LEADER, state=state), Member("d", "stopped", None, left="first")) is None


def test_a_follower_joins_a_start_that_it_has_not_been_in() -> None:
    starting = Member("d", "starting", "second")
    assert obstacle(starting, "d", "first") is None
    assert obstacle(starting, "d", None) is None
    assert obstacle(starting, "d", "second") == "the leader has not started anew"
    assert obstacle(starting, "e", None) == "the leader has another configuration of the service"
    assert obstacle(None, "d", None) == "the leader does not answer"
    assert obstacle(replace(starting, state="serving"), "d", "first") == "the leader is serving"


class World:
    """A leader and a follower as their units would move, with the rules of this collection between them."""

    def __init__(self) -> None:
        self.starts = 0
        self.leader = Member("d", "stopped")
        self.follower = Member("d", "stopped")
        self.judges = {"leader": Judge(True), "follower": Judge(False)}
        self.now = 0.0

    def engine_ends(self, who: str) -> None:
        if who == "leader":
            self.leader = Member("d", "stopped")
        else:
            self.follower = Member("d", "stopped", None, self.follower.incarnation or self.follower.left)

    def step(self) -> None:
        """One second: looks, then what systemd and the guards do next."""
        self.now += 1
        if self.judges["leader"].verdict(self.now, self.leader, {B: self.follower}):
            self.engine_ends("leader")
        if self.judges["follower"].verdict(self.now, self.follower, {B: self.leader}):
            self.engine_ends("follower")
        if self.leader.state == "stopped":
            self.starts += 1
            self.leader = Member("d", "starting", f"start-{self.starts}")
        if self.follower.incarnation is None:
            self.follower = replace(self.follower, state="admitting")
            if obstacle(self.leader, "d", self.follower.left) is None:
                self.follower = Member("d", "starting", self.leader.incarnation)
        elif self.leader.incarnation == self.follower.incarnation:  # the ranks have met
            self.leader = replace(self.leader, state="serving")
            self.follower = replace(self.follower, state="serving")

    @property
    def serves(self) -> bool:
        together = self.leader.incarnation == self.follower.incarnation
        return together and (self.leader.state, self.follower.state) == ("serving", "serving")


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["leader", "follower", "both"])), max_size=8))
def test_whoever_dies_and_when_both_serve_again_soon(deaths: Sequence[tuple[int, str]]) -> None:
    world = World()
    for pause, who in deaths:
        for _second in range(pause):
            world.step()
        for name in ("leader", "follower") if who == "both" else (who,):
            world.engine_ends(name)
    for _second in range(10):
        world.step()
    assert world.serves


# The exchange itself, between two sockets of this machine.


def ticket(rank: int, port: int) -> Ticket:
    group = Group(rank, ("127.0.0.1", "127.0.0.1"), port - 1, port, "d")
    return Ticket("large", "large", "127.0.0.1", 1, {}, 60, 0, "x", group=group)


@pytest.fixture(name="units")
def _units(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    unit = {"ActiveState": "activating", "SubState": "start-post", "MainPID": "7", "InvocationID": "first"}
    monkeypatch.setattr(group_member, "shown_unit", lambda service: dict(unit))
    monkeypatch.setattr(group_member, "RUNTIME_DIRECTORY", tmp_path)
    (tmp_path / "large").mkdir()
    return unit


@pytest.fixture(name="server")
def _server(units: dict[str, str], unused_port: int) -> Iterator[group_member._Teller]:
    with group_member._Teller(("127.0.0.1", unused_port), ticket(0, unused_port)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(name="leader_is")
def _leader_is(units: dict[str, str], server: group_member._Teller, unused_port: int) -> Callable[..., None]:
    """Change what systemd says of the leader, which looks again."""

    def change(**values: str) -> None:
        units.update(values)
        server.member = group_member.own_member(ticket(0, unused_port))

    return change


@pytest.fixture(name="unused_port")
def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_follower_joins_leaves_and_joins_the_next_start(leader_is: Callable[..., None], unused_port: int) -> None:
    mine = ticket(1, unused_port)
    assert group_member.join(mine) is None
    assert group_member.own_member(mine) == Member("d", "starting", "first", None)
    assert not group_member.is_formed(mine)
    leader_is(ActiveState="active", SubState="running")
    assert group_member.is_formed(mine)
    group_member.leave(mine)
    assert group_member.own_member(mine) == Member("d", "serving", None, "first")
    leader_is(ActiveState="activating", SubState="start-post")
    assert group_member.join(mine) == "the leader has not started anew"
    leader_is(InvocationID="second")
    assert group_member.join(mine) is None


def test_a_follower_whose_leader_has_given_up_says_so(leader_is: Callable[..., None], unused_port: int) -> None:
    assert group_member.join(ticket(1, unused_port)) is None
    leader_is(ActiveState="activating", SubState="auto-restart")
    with pytest.raises(InferenceError, match="has given up the start that this host is in"):
        group_member.is_formed(ticket(1, unused_port))


def test_a_host_that_is_not_there_tells_nothing(unused_port: int) -> None:
    assert group_member.ask(ticket(1, unused_port).group or pytest.fail("no group"), "127.0.0.1") is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"digest": "d", "state": "on fire"}', '{"digest": 1, "state": "failed"}']
)
def test_strange_answers_are_none(text: str) -> None:
    with pytest.raises(InferenceError):
        Member.from_json(text)


def test_a_ticket_carries_its_group_through_its_file() -> None:
    written = ticket(1, 29502)
    read = Ticket.from_json(written.to_json())
    assert read == written
    assert not read.answers
    plain: dict[str, Any] = {**json.loads(written.to_json()), "group": None}
    assert Ticket.from_json(json.dumps(plain)).answers
