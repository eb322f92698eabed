# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fit of the overhead as tables: its coefficients, and its errors by model and by engine version. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

from ansible_collections.llmops.inference.plugins.module_utils._plan.engine_versions import CHANGES
from ansible_collections.llmops.inference.plugins.module_utils._plan.overhead import FITTED
from ansible_collections.llmops.inference.plugins.module_utils._versions import parse_version
from ansible_collections.llmops.inference.tests.bench.against_engine.report import table

from .fit import Error, errors, every_start

MOST_MEAN_ERROR = 0.15  # of the overhead, without any start of the model
MOST_OPTIMISM_GIB = 1.0
UNITS = {
    "libraries": "GiB that stay beside weights and cache",
    "logit_sorted": "bytes a logit where top-k and top-p sort (0.11.1 to 0.16)",
    "logit_in_place": "bytes a logit where they do not",
    "group_rank": "GiB a rank of a tensor-parallel group",
    "group_large": "GiB more for a group since 0.17, where FlashInfer is installed",
    "expert_workspace": "of 4 bytes * tokens * experts per token * hidden, before 0.17",
    "encoder": "of the bytes of 16,384 tokens in the encoder cache",
    "token_extra": "elements a token beside 3 hidden and 3 feed-forward ones; not fitted",
}


@dataclass(frozen=True)
class Summary:
    """Errors of some starts: means as parts of the overhead, the rest in GiB."""

    starts: int
    measured: tuple[float, float]
    mean: float
    left_out_mean: float
    optimism: float  # the furthest that a start took more than was expected of it, its model left out
    planned_optimism: float  # the furthest that a start took more than a plan would have kept, its model left out
    planned_mean: float  # by how much a plan keeps more, as a part of the overhead


@lru_cache(maxsize=1)
def judged() -> tuple[Error, ...]:
    """Return the error of every start on record."""
    return tuple(errors(every_start()))


def summary(found: Sequence[Error]) -> Summary:
    """Return the errors of some starts in numbers; each start counts once."""
    count = sum(error.start.count for error in found)

    def mean(of: Callable[[Error], float]) -> float:
        return sum(error.start.count * of(error) for error in found) / count

    taken = [error.start.overhead_gib for error in found]
    return Summary(
        starts=count,
        measured=(min(taken), max(taken)),
        mean=mean(lambda error: abs(error.relative(error.expected_gib))),
        left_out_mean=mean(lambda error: abs(error.relative(error.left_out_gib))),
        optimism=max(error.start.overhead_gib - error.left_out_gib for error in found),
        planned_optimism=max(error.start.overhead_gib - error.careful_left_out_gib for error in found),
        planned_mean=mean(lambda error: error.relative(error.careful_gib)),
    )


def coefficients() -> str:
    """Write the coefficients with what they are of."""
    rows = [(item.name, f"{getattr(FITTED, item.name):g}", UNITS[item.name]) for item in fields(FITTED)]
    return table(("coefficient", "value", "what it is"), rows)


def by_model() -> str:
    """Write the errors by model and card, all of them last."""
    groups: dict[str, list[Error]] = {}
    for error in judged():
        ranks = error.start.run.ranks
        groups.setdefault(f"{error.start.model.split('/')[-1]}, {ranks} x {error.start.gpu}", []).append(error)
    return _errors("model", [*sorted(groups.items()), ("all", list(judged()))])


def by_version() -> str:
    """Write the errors by minor release of the engine."""
    groups: dict[tuple[int, ...], list[Error]] = {}
    for error in judged():
        groups.setdefault(parse_version(str(error.start.run.engine_version)).release[:2], []).append(error)
    return _errors("engine", [(".".join(map(str, version)), found) for version, found in sorted(groups.items())])


def engine_versions() -> str:
    """Write the table of what changed between engine versions."""
    rows = [(change.since, change.key, str(change.value), change.source) for change in CHANGES]
    return table(("since", "what", "is", "source"), rows)


def complaints() -> list[str]:
    """Return a sentence for every target that the fit misses."""
    whole = summary(judged())
    result = []
    if whole.left_out_mean > MOST_MEAN_ERROR:
        result.append(f"mean error {whole.left_out_mean:.1%} with the model left out, above {MOST_MEAN_ERROR:.0%}")
    if whole.planned_optimism > MOST_OPTIMISM_GIB:
        result.append(f"a start took {whole.planned_optimism:.2f} GiB more than a plan would have kept")
    return result


def _errors(title: str, groups: Sequence[tuple[str, Sequence[Error]]]) -> str:
    head = (title, "starts", "took, GiB", "mean error", "model left out", "most above", "plan keeps", "most above it")
    rows = []
    for name, found in groups:
        of = summary(found)
        low, high = of.measured
        rows.append(
            (
                name,
                str(of.starts),
                f"{low:.2f}" if high - low < 0.005 else f"{low:.2f}-{high:.2f}",
                f"{of.mean:.1%}",
                f"{of.left_out_mean:.1%}",
                f"{of.optimism:.2f}",
                f"{of.planned_mean:+.1%}",
                f"{of.planned_optimism:.2f}",
            )
        )
    return table(head, rows)
