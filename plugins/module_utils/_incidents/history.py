# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The incidents of a host and how often they are, as vllm_deployment_info returns them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .._engine.finished_requests import Ledger, Tally
from .._errors import InferenceError
from .episodes import Episode, Life, find_incidents, lives
from .gaps import gaps, unread_gap
from .journal import Journal

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DAY = _UNITS["d"]
# Ends whose cause is looked for in what the engine wrote, and how much of that is read.
_MOST_ENDS = 30
_LINES_OF_AN_END = 2000
# Below, a rate is noise.
_LEAST_SECONDS = 3600
_LEAST_REQUESTS = 100


def window(since: str) -> float:
    """Return the Unix time that ``7d``, ``12h`` or ``@1764000000`` mean; InferenceError for anything else."""
    span = re.fullmatch(r"([1-9][0-9]{0,5})([mhdw])", since)
    if span:
        return time.time() - int(span.group(1)) * _UNITS[span.group(2)]
    moment = re.fullmatch(r"@([0-9]{1,11})", since)
    if moment:
        return float(moment.group(1))
    raise InferenceError(
        f"incidents_since is {since!r}; a number and one of m, h, d and w is expected, such as 7d, or @ and a Unix time"
    )


def episodes(
    journal: Journal, services: Sequence[str], gpus: Mapping[str, Sequence[str]], since: float
) -> list[Episode]:
    """Return what went wrong with these services, and with GPUs, since a Unix time."""
    return read_episodes(journal, services, gpus, since)[1]


def read_episodes(
    journal: Journal, services: Sequence[str], gpus: Mapping[str, Sequence[str]], since: float
) -> tuple[list[Life], list[Episode]]:
    """Return the lives of these services since a Unix time, and what went wrong with them and with GPUs."""
    told = lives(journal.lives(services, since))
    ends = [life.invocation for life in told if life.crashed][-_MOST_ENDS:]
    written = {invocation: journal.invocation(invocation, _LINES_OF_AN_END) for invocation in ends}
    return told, find_incidents(told, journal.kernel(since), written, gpus)


def history(
    journal: Journal, services: Sequence[str], gpus: Mapping[str, Sequence[str]], since: float
) -> dict[str, list[Any]]:
    """Return ``incidents``, ``incident_rates`` and ``incident_gaps`` of these services since a Unix time."""
    told, found = read_episodes(journal, services, gpus, since)
    begins = journal.begins()
    begin = max(since, begins or since)
    now = time.time()
    return {
        "incident_gaps": [
            *gaps(since, begins, journal.is_volatile(), journal.suppressed(since)),
            *unread_gap(sum(life.crashed for life in told), _MOST_ENDS),
        ],
        "incidents": [_row(episode) for episode in found],
        "incident_rates": [
            incident_rate(
                name, sum(episode.service == name for episode in found), tally, (_seen_since(name, told, begin), now)
            )
            for name, tally in ((name, Ledger(name).read()) for name in services)
        ],
    }


def _seen_since(service: str, told: Sequence[Life], begin: float) -> float:
    """Return from when on a service is known: before its first start it was not there, or not in the journal."""
    first = next((life for life in told if life.service == service), None)
    return begin if first is None else max(begin, first.started)


def incident_rate(service: str, number: int, tally: Tally | None, span: tuple[float, float]) -> dict[str, Any]:
    """Return how often a service had its incidents between two Unix times, per day and per 1000 requests."""
    begin, end = span
    seconds = end - begin
    requests = tally.since(begin) if tally is not None else None
    counted = requests is not None and requests >= _LEAST_REQUESTS
    return {
        "service": service,
        "incidents": number,
        "days": seconds / _DAY,
        "per_day": number * _DAY / seconds if seconds >= _LEAST_SECONDS else None,
        "requests": requests,
        "per_1000_requests": number * 1000 / requests if counted and requests else None,
    }


def _row(episode: Episode) -> dict[str, Any]:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(episode.time))
    return {**asdict(episode), "time": moment}
