# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Was it worth it: two sides measured in turns, metric by metric, with a verdict only where the data carry one.

Of a table with many rows, one in twenty would differ by chance alone. Therefore the intervals of the rows that get a
verdict are wider the more of them there are (Bonferroni): with 95 % confidence *all* of them hold at once. A verdict
is nothing but a reading of its interval, so that table and verdict cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import (
    SIDES,
    LoadShape,
    NotStarted,
    RunResult,
    field_names,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._records import Record
from ansible_collections.llmops.inference.plugins.module_utils._values import GIB
from ansible_collections.llmops.inference.plugins.plugin_utils._report import statistics
from ansible_collections.llmops.inference.plugins.plugin_utils._report.measures import (
    LATENCIES,
    METRICS,
    MeasuredRun,
    Metric,
    count_incidents_of,
    counted,
    estimate,
    metric,
    values,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._report.statistics import Estimate

BETTER, WORSE, NO_DIFFERENCE, COULD_NOT_START = "better", "worse", "no difference shown", "could not start"
VERDICTS = (BETTER, WORSE, NO_DIFFERENCE, COULD_NOT_START)
STABILITY = replace(METRICS["incidents_per_1000_requests"], name="stability", words="incidents per 1,000 requests")
JUDGED = ("end_to_end_p50_seconds", "output_tokens_per_second")
SHOWN = (
    "ttft_p50_seconds",
    "ttft_p95_seconds",
    "inter_token_p50_seconds",
    "end_to_end_p95_seconds",
    "failed_share",
    "out_of_memory_per_1000_requests",
    "memory_peak_share_of_budget",
)
QUALITY = ("perplexity_short", "perplexity_long", "greedy_agreement")
# Where more requests than these do not come to their end, those that do are a choice of the lucky ones.
_MOST_FAILED = 0.01


@dataclass(frozen=True)
class JudgementSettings:
    """How a comparison is judged.

    ``smallest_relevant`` is the part by which a metric has to differ for anybody to care, ``least_rounds`` the number
    of pairs below which nothing is said, ``judged`` the metrics that get a verdict beside stability.
    """

    confidence: float = 0.95
    smallest_relevant: float = 0.02
    least_rounds: int = 5
    judged: tuple[str, ...] = JUDGED
    shown: tuple[str, ...] = SHOWN

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1:
            raise InferenceError(f"confidence is {self.confidence:g}; a number from 0.5 to below 1 is expected.")
        if not 0 <= self.smallest_relevant < 1:
            raise InferenceError(f"smallest_relevant is {self.smallest_relevant:g}; 0 to below 1 is expected.")
        if self.least_rounds < 3:
            raise InferenceError(f"least_rounds is {self.least_rounds}; at least 3 are expected.")
        for name in (*self.judged, *self.shown):
            metric(name)


def read_settings(values: Mapping[str, object]) -> JudgementSettings:
    """Return the settings that an inventory states, others by default; InferenceError for a wrong one."""
    record = Record(values, "settings", field_names(JudgementSettings))
    stated: dict[str, Any] = {name: record.number(name) for name in ("confidence", "smallest_relevant")}
    stated["least_rounds"] = record.integer("least_rounds")
    stated.update({name: record.texts(name) for name in ("judged", "shown") if name in values})
    return JudgementSettings(**{name: value for name, value in stated.items() if value is not None})


@dataclass(frozen=True)
class Row:
    """One metric of one service under one scenario. ``verdict`` None: the row is there to be read, not judged."""

    service: str
    scenario: str
    metric: str
    words: str
    unit: str
    better: str
    before: Estimate | None
    after: Estimate | None
    ratio: Estimate | None
    verdict: str | None
    reason: str


@dataclass(frozen=True)
class Refused:
    """A side that could not start a service: in how many of how many runs, and why."""

    side: str
    times: int
    runs: int
    why: NotStarted


@dataclass(frozen=True)
class _Group:
    """A service under a scenario: what was measured by side and round."""

    service: str
    scenario: str
    found: Mapping[str, Mapping[int, MeasuredRun]]

    def side(self, name: str) -> list[MeasuredRun]:
        """What was measured on one side."""
        return [(run, service) for run, service in self.found[name].values() if not service.not_started]

    def pairs(self) -> list[tuple[MeasuredRun, MeasuredRun]]:
        """What was measured on both sides of a round."""
        before, after = (self.found[name] for name in SIDES)
        both = [(before[number], after[number]) for number in sorted(before.keys() & after.keys())]
        return [pair for pair in both if not any(service.not_started for _run, service in pair)]

    def refused(self) -> list[Refused]:
        found = []
        for name in SIDES:
            causes = [service.not_started for _run, service in self.found[name].values() if service.not_started]
            if causes:
                found.append(Refused(name, len(causes), len(self.found[name]), causes[0]))
        return found


def compare(runs: Sequence[RunResult], settings: JudgementSettings) -> list[Row]:
    """Return the rows of all services, in the order of the runs; InferenceError where runs cannot be compared."""
    _check(runs)
    groups = _groups(runs)
    judged = [metric(name) for name in settings.judged]
    family = sum(not group.refused() for group in groups) * (len(judged) + 1)
    level = 1.0 - (1.0 - settings.confidence) / max(1, family)
    rows = []
    for group in groups:
        rows += [_judged(group, one, level, settings) for one in judged]
        rows.append(_stability(group, level, settings))
        others = [metric(name) for name in settings.shown if name not in settings.judged]
        rows += [row for one in others if (row := _shown(group, one, settings.confidence)) is not None]
        rows += [row for name in QUALITY if (row := _quality(group, metric(name), settings.confidence)) is not None]
    return rows


def _check(runs: Sequence[RunResult]) -> None:
    hosts = sorted({run.environment.host for run in runs})
    if len(hosts) > 1:
        raise InferenceError(f"The runs are of {', '.join(hosts)}; a comparison is of one host.")
    for side in SIDES:
        if not any(run.side == side for run in runs):
            raise InferenceError(f"No run has side {side}; a comparison takes runs of both.")
    odd = [run.started for run in runs if run.side is None or run.round is None]
    if odd:
        raise InferenceError(
            f"The run of {odd[0]} has no side or no round; runs of a comparison are made in turns, so that what the "
            "machine does meanwhile hits both sides."
        )


def _groups(runs: Sequence[RunResult]) -> list[_Group]:
    found: dict[tuple[str, str], dict[str, dict[int, MeasuredRun]]] = {}
    for run in runs:
        for service in run.services:
            sides = found.setdefault((service.service, service.scenario), {side: {} for side in SIDES})
            side, number = run.side or "", run.round or 0
            if number in sides[side]:
                raise InferenceError(
                    f"Round {number} has {service.service} under {service.scenario} twice on the side {side}."
                )
            sides[side][number] = (run, service)
    return [_Group(*key, sides) for key, sides in found.items()]


def _row(group: _Group, one: Metric, level: float) -> Row:
    before, after = (estimate(one, group.side(side), level) for side in SIDES)
    return Row(group.service, group.scenario, one.name, one.words, one.unit, one.better, before, after, None, None, "")


def _shown(group: _Group, one: Metric, level: float) -> Row | None:
    row = replace(_row(group, one, level), ratio=_ratio(group, one, level))
    return row if row.before or row.after else None


def _quality(group: _Group, one: Metric, level: float) -> Row | None:
    """The same text gives the same number in every run: there is nothing to be sure about, and nothing to judge."""
    row = _row(group, one, level)
    if not row.before and not row.after:
        return None
    ratio = None
    if one.positive and row.before and row.after:
        ratio = Estimate(row.after.value / row.before.value, None, None, level, 1)
    before, after = (side and replace(side, low=None, high=None) for side in (row.before, row.after))
    return replace(row, before=before, after=after, ratio=ratio, reason="of one reference text, the same on both sides")


def _ratio(group: _Group, one: Metric, level: float) -> Estimate | None:
    both = [tuple(one.read(run, service) for run, service in pair) for pair in group.pairs()]
    whole = [(old, new) for old, new in both if old is not None and new is not None]
    if not one.positive or not whole or any(value <= 0 for pair in whole for value in pair):
        return None
    return statistics.paired_ratio([old for old, _new in whole], [new for _old, new in whole], level)


def _judged(group: _Group, one: Metric, level: float, settings: JudgementSettings) -> Row:
    row = replace(_row(group, one, level), ratio=_ratio(group, one, level))
    refused = group.refused()
    if refused:
        return replace(row, ratio=None, verdict=COULD_NOT_START, reason=_refusal(refused))
    why_not = _withheld(group, row, settings)
    if why_not or row.ratio is None:
        return replace(row, verdict=NO_DIFFERENCE, reason=why_not or "no pair of runs has it on both sides")
    verdict = read_interval(row.ratio, one.better, settings.smallest_relevant)
    faster = SIDES[verdict == BETTER]
    lost = max(values(METRICS["failed_share"], group.side(faster)), default=0.0)
    if verdict != NO_DIFFERENCE and one.name.startswith(tuple(LATENCIES)) and lost > _MOST_FAILED:
        reason = f"{faster}, which seems faster, up to {lost:.0%} of the requests did not come to their end"
        return replace(row, verdict=NO_DIFFERENCE, reason=reason)
    reason = _pairs(row.ratio.count)
    if verdict == NO_DIFFERENCE:
        reason += _could_have_been(row.ratio)
    return replace(row, verdict=verdict, reason=reason)


def read_interval(ratio: Estimate, better: str, smallest_relevant: float) -> str:
    """Return the verdict of an interval: it has to lie wholly beyond what is relevant."""
    if ratio.low is None or ratio.high is None:
        return NO_DIFFERENCE
    lower, higher = ratio.high < 1.0 - smallest_relevant, ratio.low > 1.0 + smallest_relevant
    if not lower and not higher:
        return NO_DIFFERENCE
    return BETTER if lower == (better == "lower") else WORSE


def _withheld(group: _Group, row: Row, settings: JudgementSettings) -> str:
    """Why there is no verdict whatever the numbers say; empty: there may be one."""
    pairs = group.pairs()
    count = row.ratio.count if row.ratio else len(pairs)
    if count < settings.least_rounds:
        return f"{_pairs(count)}; at least {settings.least_rounds} are needed"
    for pair in pairs:
        before, after = (_asked(service.load) for _run, service in pair)
        if before != after:
            return f"the two sides were not asked the same: {before} before, {after} after"
    held = [service.load.bottleneck for pair in pairs for _run, service in pair if service.load]
    slow = [text for text in held if text]
    if slow:
        return f"the load generator itself was the bottleneck in {len(slow)} runs: {slow[0]}"
    return ""


def _pairs(count: int) -> str:
    return f"{count} {'pair' if count == 1 else 'pairs'} of runs"


def _asked(load: LoadShape | None) -> str:
    if load is None:
        return "nothing"
    rate = "" if load.requests_per_second is None else f" at {load.requests_per_second:g}/s"
    return f"{load.driver}, {load.mode} loop{rate}, {load.concurrency or 'any number'} in flight, seed {load.seed}"


def _stability(group: _Group, level: float, settings: JudgementSettings) -> Row:
    counts = [_events(group.side(side)) for side in SIDES]
    exposures = [sum(len(counted(service)) for _run, service in group.side(side)) / 1000.0 for side in SIDES]
    estimates = [
        statistics.rate(count, exposure, level) if exposure else None for count, exposure in zip(counts, exposures)
    ]
    row = replace(_row(group, STABILITY, level), before=estimates[0], after=estimates[1])
    refused = group.refused()
    if refused:
        return replace(row, verdict=COULD_NOT_START, reason=_refusal(refused))
    if not all(exposures):
        return replace(row, verdict=NO_DIFFERENCE, reason="a side has no requests")
    ratio = statistics.rate_ratio(counts[0], exposures[0], counts[1], exposures[1], level)
    asked = f"{counts[0]} in {1000 * exposures[0]:.0f} requests before, {counts[1]} in {1000 * exposures[1]:.0f} after"
    if ratio is None:
        return replace(row, verdict=NO_DIFFERENCE, reason=asked)
    verdict = read_interval(ratio, "lower", settings.smallest_relevant)
    return replace(row, ratio=ratio, verdict=verdict, reason=asked)


def _events(measured: Iterable[MeasuredRun]) -> int:
    """An incident that ends in a restart is one event, and so is a restart of which nothing else is known."""
    return sum(max(count_incidents_of(run, service), service.restarts) for run, service in measured)


def _refusal(refused: Sequence[Refused]) -> str:
    return "; ".join(
        f"{item.side}: {_missing(item.why)}{item.why.cause.rstrip('.')}{_part(item.times, item.runs)}"
        for item in refused
    )


def _missing(why: NotStarted) -> str:
    if why.missing_bytes is None:
        return ""
    needed, there = why.needed_bytes or 0, why.available_bytes or 0
    return (
        f"{why.missing_bytes / GIB:.2f} GiB ({why.missing_bytes} bytes) missing, "
        f"{needed / GIB:.2f} GiB needed and {there / GIB:.2f} GiB there: "
    )


def _part(times: int, runs: int) -> str:
    return "" if times == runs else f" (in {times} of {runs} runs)"


def _could_have_been(ratio: Estimate) -> str:
    if ratio.low is None or ratio.high is None:
        return ""
    return f"; it may be anything from {ratio.low - 1:+.1%} to {ratio.high - 1:+.1%}"
