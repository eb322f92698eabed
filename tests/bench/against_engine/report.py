# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorded trials as tables: what was planned against what happened, how far off, what misses its target. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.llmops.inference.tests.bench.against_engine.replay import (
    BUDGET,
    GATE_1,
    GATE_2,
    GIB,
    MODES,
    STARTS,
    Row,
    Tokens,
    Trials,
)

MIB = 1 << 20
FALSE_REFUSALS = 0.02  # of the combinations that the engine starts
KV_ERROR = {False: 0.05, True: 0.01}
# Below, what one worker takes more or less than another is more than that of the cache: 20 MiB from start to start, and
# 60 MiB, which only a record can know, where the machine was started anew.
KV_LEAST_BYTES = {False: 2 * GIB, True: GIB}
CACHES = ((0, GIB), (GIB, 2 * GIB), (2 * GIB, 8 * GIB), (8 * GIB, 1 << 50))
NAMES = {False: "estimates", True: "calibrated"}


@dataclass(frozen=True)
class Errors:
    """How far predictions of some caches were off, as fractions of what the engine had."""

    count: int
    mean: float
    too_much: float  # the furthest that a plan promised more than there was
    too_little: float

    @property
    def worst(self) -> float:
        return max(self.too_much, self.too_little)


def errors(tokens: Iterable[Tokens]) -> Errors:
    """Return the errors of some predictions."""
    off = [item.error for item in tokens]
    if not off:
        return Errors(0, 0.0, 0.0, 0.0)
    mean = sum(abs(error) for error in off) / len(off)
    return Errors(len(off), mean, max(0.0, *off), max(0.0, *(-error for error in off)))


def caches(tokens: Iterable[Tokens], least: int = 0, most: int = 1 << 50) -> list[Tokens]:
    """Return the predictions of caches in a range of bytes."""
    return [item for item in tokens if least <= item.cache_bytes < most]


def complaints(trials: Trials) -> list[str]:
    """Return, in a sentence each, what misses its target and what was started otherwise than it is planned today."""
    found = []
    for calibrated in MODES:
        judgements, mode = trials.judgements(calibrated), NAMES[calibrated]
        for item in judgements:
            what = f"{item.row['name']} ({mode}): planned {item.predicted}, and the engine: {item.actual}"
            if item.is_false_fit or not (item.is_false_refusal or item.predicted in (item.actual, BUDGET)):
                found.append(f"{what}.")
            if item.calibrated == item.row["calibrated"]:
                found += [f"{item.row['name']} is out of date: {changed}. Try it again." for changed in item.changed]
        refused = [item.row["name"] for item in judgements if item.is_false_refusal]
        started = sum(item.actual == STARTS for item in judgements)
        if len(refused) > FALSE_REFUSALS * started:
            found.append(f"{mode}: {len(refused)} of {started} that start are refused: {', '.join(refused)}.")
        off = errors(caches(trials.tokens(calibrated), KV_LEAST_BYTES[calibrated]))
        if off.worst > KV_ERROR[calibrated]:
            found.append(f"{mode}: KV tokens are off by {off.worst:.2%}; {KV_ERROR[calibrated]:.0%} at most.")
    for row, same in compared_with_cold(trials):
        if row["starts"][-1]["verdict"] != same["starts"][-1]["verdict"]:
            found.append(f"{row['name']}: a start in a fork ends otherwise than a cold one.")
    return found


def compared_with_cold(trials: Trials) -> list[tuple[Row, Row]]:
    """Return the rows whose engines were started cold, too, each beside itself with warm ones."""
    warm = {row["name"]: row for row in trials.rows}
    return [(row, warm[row["name"]]) for row in trials.cold if row["name"] in warm]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown, its columns aligned in the source, too."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


def machine(trials: Trials) -> str:
    """Return in a sentence where and when the trials were."""
    of = trials.machine
    models = ", ".join(trials.models)
    return (
        f"vLLM {of['engine_version']}, its CPU build, on {of['date']}: {len(of['cpus'])} CPUs ({of['processor']}), one "
        f"NUMA node of {of['total_bytes'] / GIB:.2f} GiB; small Qwen3 models with random weights ({models})."
    )


def confusion(trials: Trials, calibrated: bool) -> str:
    """Return how often which verdict of the plan met which of the engine."""
    judgements = trials.judgements(calibrated)
    counted = Counter((item.predicted, item.actual) for item in judgements)
    actual = (STARTS, GATE_1, GATE_2)
    predicted = [name for name in (STARTS, GATE_1, GATE_2, BUDGET) if any(counted[name, what] for what in actual)]
    rows = [[f"the plan: {name}", *(counted[name, what] for what in actual)] for name in predicted]
    started = sum(item.actual == STARTS for item in judgements)
    false_fits = [item.row["name"] for item in judgements if item.is_false_fit]
    refused = [item.row["name"] for item in judgements if item.is_false_refusal]
    return "\n".join(
        [
            table(["", *(f"the engine: {name}" for name in actual)], rows),
            "",
            f"{len(judgements)} combinations. False fits: {_listed(false_fits)}. False refusals: {_listed(refused)}, "
            f"{len(refused) / started:.1%} of the {started} that start.",
        ]
    )


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names)})" if names else "none"


def kv_errors(trials: Trials) -> str:
    """Return how far predictions of KV tokens were off, by the size of the cache."""
    rows = []
    for calibrated in MODES:
        for least, most in (*CACHES, (GIB, 1 << 50)):
            off = errors(caches(trials.tokens(calibrated), least, most))
            if off.count:
                rows.append(
                    [
                        NAMES[calibrated],
                        _range(least, most),
                        off.count,
                        f"{off.mean:.2%}",
                        f"{off.worst:.2%}",
                        f"{off.too_much:.2%}",
                        f"{off.too_little:.2%}",
                    ]
                )
    return table(["predicted with", "caches of", "starts", "mean", "worst", "promised too much", "too little"], rows)


def _range(least: int, most: int) -> str:
    if most == 1 << 50:
        return f"{least // GIB} GiB and more"
    return f"{least // GIB}-{most // GIB} GiB" if least else f"less than {most // GIB} GiB"


def axes(trials: Trials) -> str:
    """Return what was tried along each axis, and how it went, calibrated where it can be."""
    judged = {item.row["name"]: item for mode in MODES for item in trials.judgements(mode)}
    rows = []
    for axis in dict.fromkeys(row["axis"] for row in trials.rows):
        here = [judged[row["name"]] for row in trials.rows if row["axis"] == axis]
        counted = Counter(item.actual for item in here)
        services = Counter(len(item.row["layout"]) for item in here)
        sizes = ", ".join(f"{count} of {size}" for size, count in sorted(services.items()))
        agreed = sum(item.predicted == item.actual for item in here)
        rows.append([axis, len(here), sizes, counted[STARTS], counted[GATE_1], counted[GATE_2], agreed])
    return table(["axis", "combinations", "of services", STARTS, GATE_1, GATE_2, "as planned"], rows)


def margins(trials: Trials) -> str:
    """Return how far the plan keeps from the engine's gates, in MiB."""
    rows = []
    for calibrated in MODES:
        beyond = [size / MIB for size in trials.asked_beyond(calibrated)]
        rows.append([NAMES[calibrated], len(beyond), *_spread(beyond)])
    return table(["planned with", "starts", "least", "mean", "most"], rows)


def before_gate_1(trials: Trials) -> str:
    """Return what an engine's processes held when gate 1 looked, in MiB."""
    found = [size / MIB for _name, size in trials.gone_before_gate_1()]
    return table(["starts", "least", "mean", "most"], [[len(found), *_spread(found)]])


def _spread(values: Sequence[float]) -> list[str]:
    return [f"{min(values):.0f}", f"{sum(values) / len(values):.0f}", f"{max(values):.0f}"] if values else ["-"] * 3


def cold(trials: Trials) -> str:
    """Return how starts in forks compare with cold ones."""
    rows = []
    for row, same in compared_with_cold(trials):
        pairs = [(a, b) for a, b in zip(row["starts"], same["starts"]) if a["kv_cache_tokens"] and b["kv_cache_tokens"]]
        off = [f"{b['kv_cache_tokens'] / a['kv_cache_tokens'] - 1:+.2%}" for a, b in pairs]
        verdicts = [item["starts"][-1]["verdict"] for item in (row, same)]
        seconds = [sum(start["seconds"] for start in item["starts"]) for item in (row, same)]
        rows.append([row["name"], *verdicts, ", ".join(off) or "-", *(f"{value:.0f}" for value in seconds)])
    return table(["combination", "cold", "in forks", "KV tokens in forks", "seconds cold", "in forks"], rows)


def everything(trials: Trials) -> str:
    """Return every combination with what was planned and what happened."""
    rows = []
    by_mode = {mode: {item.row["name"]: item for item in trials.judgements(mode)} for mode in MODES}
    for row in trials.rows:
        found = [by_mode[mode].get(row["name"]) for mode in MODES]
        shares = ", ".join(
            f"{start['service']} {start['share']:g} for {start['max_model_len']}"
            for start in row["starts"]
            if not start["beside_all"]
        )
        said = [item.predicted if item is not None else "" for item in found]
        rows.append([row["name"], shares, *said, row["starts"][-1]["verdict"]])
    return table(["combination", "started, in this order", "with estimates", "calibrated", "the engine"], rows)
