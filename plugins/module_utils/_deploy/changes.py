# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a host against what is wanted there: which services start, restart and go. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._engine.api import Completion
from .._generation.files import File, tickets
from .._generation.unit_links import Links
from .._host.systemd import UnitState
from .._plan.plan import Plan


@dataclass(frozen=True)
class Observed:
    """A service as it is now; ``digest`` is what its engine was started with, ``problem`` why it is not healthy.

    ``brought`` is what it has generated when it was asked.
    """

    state: UnitState
    digest: str | None
    problem: str | None
    brought: Completion | None = None


@dataclass(frozen=True)
class Changes:
    """What a deployment will do. Services are named in the order in which they start.

    ``files`` are those that differ, or are not as they were written; ``interrupted`` says that an earlier run left the
    host in between. ``answers`` are what the services that stay as they are have generated just now.
    """

    files: Sequence[str]
    start: Sequence[str]
    restart: Mapping[str, str]
    remove: Sequence[str]
    links: Links
    interrupted: bool = False
    answers: Mapping[str, Completion] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether anything on the host differs from what is wanted."""
        return bool(self.files or self.start or self.restart or self.remove or self.links or self.interrupted)

    @property
    def touched(self) -> list[str]:
        """Services that will load an engine."""
        return [*self.start, *self.restart]


def decide(
    order: Sequence[str],
    wanted: Mapping[str, str],
    observed: Mapping[str, Observed],
    files: Sequence[str] = (),
    links: Links | None = None,
    *,
    interrupted: bool = False,
    asked: Sequence[str] = (),
) -> Changes:
    """Pure: which services start, restart (and why) and go.

    ``order`` is the start order of the plan, ``wanted`` the digest of each of its services, ``observed`` every
    service that is on the host, ``asked`` those that are to restart in any case.
    """
    start, restart, answers = [], {}, {}
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
        elif name in asked:
            restart[name] = "asked for"
        elif now.brought:
            answers[name] = now.brought
    remove = sorted(name for name in observed if name not in wanted)
    return Changes(files, start, restart, remove, links or {}, interrupted=interrupted, answers=answers)


@dataclass(frozen=True)
class Desired:
    """What a host shall become: the plan, and the files of the generation that carries it out.

    ``number`` is that of a generation that is kept, whose plan is None where another version of the collection made it.
    """

    plan: Plan | None
    files: Mapping[str, File]
    number: int | None = None

    @property
    def order(self) -> list[str]:
        """Its services in start order."""
        return [planned.name for planned in self.plan.services] if self.plan else sorted(tickets(self.files))
