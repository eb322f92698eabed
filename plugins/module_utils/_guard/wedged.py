# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an engine is wedged, and when it is merely busy. Pure.

Looks at an engine follow one another; each asks for one token and reads the engine's metrics before and after. An
engine *moves* where its progress (prompt tokens, generated tokens, use of the KV cache) differs between any two
readings: they come from the engine's steps, so that they change with every piece of a long prompt and with every
token for anybody, and stand still with the engine.

- A look that got its token, or saw the engine move, starts the count anew.
- Any other look is a miss.
- ``misses`` misses in a row are a wedged engine, where it has no request to work on, or does not tell.
- An engine with requests running or waiting may be in one long step, or compile something: it is wedged only when it
  has also stood still for ``stall`` seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .._engine.metrics import Metrics
from .._service.watchdog import Watchdog


@dataclass(frozen=True)
class Probe:
    """What one look saw: when (Unix time), whether a token came, and the metrics it read (None: no answer)."""

    time: float
    token: bool
    before: Metrics | None
    after: Metrics | None


@dataclass(frozen=True)
class Watched:
    """What is remembered of one start of an engine from look to look; times are Unix times.

    ``progress`` is the last one read; ``moved`` is when it last changed, or was read first.
    """

    invocation: str
    misses: int = 0
    progress: tuple[float, ...] | None = None
    moved: float | None = None


def judge_engine(watched: Watched, look: Probe, watchdog: Watchdog) -> tuple[Watched, bool]:
    """Return what to remember, and whether the engine is wedged."""
    readings = [metrics.progress for metrics in (look.before, look.after) if metrics is not None]
    known = ([watched.progress] if watched.progress is not None else []) + readings
    moves = look.token or _differ(known)
    progress = known[-1] if known else None
    if moves or watched.moved is None:
        watched = replace(watched, moved=look.time)
    watched = replace(watched, progress=progress, misses=0 if moves else watched.misses + 1)
    return watched, watched.misses >= watchdog.misses and not _excused(watched, look, watchdog)


def _excused(watched: Watched, look: Probe, watchdog: Watchdog) -> bool:
    """Whether requests under way may still explain that nothing moves."""
    at_work = look.after is not None and look.after.requests > 0
    still = look.time - (look.time if watched.moved is None else watched.moved)
    return at_work and still < watchdog.stall


def _differ(readings: Iterable[tuple[float, ...]]) -> bool:
    return len(set(readings)) > 1
