# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots of runs as SVG, drawn by Matplotlib: no script, real text, and the colours of the page around them.

Matplotlib is on the controller only, and imported when the first plot is drawn.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import SIDES, RunResult, ServiceResult
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._values import GIB
from ansible_collections.llmops.inference.plugins.plugin_utils._html.svg import svg_text
from ansible_collections.llmops.inference.plugins.plugin_utils._report.measures import (
    LATENCIES,
    in_flight,
    latencies,
    metric,
)
from markupsafe import Markup

# What Matplotlib is told, and the variable of the page's style that takes its place.
_INK, _QUIET, _LINE = "#010101", "#020202", "#030303"
_SERIES = ("#111111", "#121212", "#131313", "#141414", "#151515", "#161616")
_VARIABLES = {
    _INK: "--ink",
    _QUIET: "--quiet",
    _LINE: "--line",
    **{color: f"--series-{number}" for number, color in enumerate(_SERIES, 1)},
}
# Dashes and marks beside colours, for readers who do not tell those apart and for print.
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_MARKS = "osD^vP"
_SIDES = {None: 0, "after": 0, "before": 1}
_RULES: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _QUIET,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.8,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _QUIET,
    "ytick.labelcolor": _QUIET,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}


def latency_plot(name: str, found: Sequence[tuple[RunResult, ServiceResult]]) -> Markup | None:
    """Return the shares of requests within each latency, one bold line per side and a thin one per run."""
    sides = sides_of(run for run, service in found if service.requests)
    pooled = {
        (side, kind): [v for run, service in found if run.side == side for v in latencies(service, kind)]
        for side in sides
        for kind in LATENCIES
    }
    if not any(pooled.values()):
        return None
    with _figure(10.4, 3.1, len(LATENCIES), 1) as (figure, axes):
        for axis, (kind, words) in zip(axes, LATENCIES.items()):
            everything = [value for side in sides for value in pooled[side, kind]]
            scale = 1000 if max(everything, default=0.0) < 1 else 1
            for side in sides:
                number = _SIDES[side]
                style = {"color": _SERIES[number], "linestyle": _DASHES[number]}
                single = [latencies(service, kind) for run, service in found if run.side == side]
                for values in single if len(single) > 1 else ():
                    axis.plot(*_distribution(values, scale, 40), **style, alpha=0.25, linewidth=0.8)
                axis.plot(*_distribution(pooled[side, kind], scale, 160), **style, label=side)
            axis.set_title(words)
            axis.set_xlabel("seconds" if scale == 1 else "milliseconds")
            axis.set_ylim(0, 1.02)
            _latency_axis(axis, everything)
        axes[0].set_ylabel("share of requests")
        if len(sides) > 1:
            axes[-1].legend(loc="best")
        return _svg(figure, f"latency-{name}", f"Latency of {name}: share of requests within each time")


def throughput_plot(runs: Sequence[RunResult]) -> Markup | None:
    """Return output tokens per second over the requests in flight, a point per run."""
    one = metric("output_tokens_per_second")
    points: dict[tuple[str | None, str, str], list[tuple[float, float]]] = {}
    for run in runs:
        for service in run.services:
            there, speed = in_flight(service), one.read(run, service)
            if there and speed:
                points.setdefault((run.side, service.service, service.scenario), []).append((there, speed))
    if not points:
        return None
    names = list(dict.fromkeys(key[1:] for key in points))
    with _figure(10.4, 3.6, 1, 1) as (figure, (axis,)):
        for (side, service_name, scenario), found in points.items():
            number = names.index((service_name, scenario)) % len(_SERIES)
            ordered = sorted(found)
            axis.plot(
                [there for there, _speed in ordered],
                [speed for _there, speed in ordered],
                color=_SERIES[number],
                linestyle=_DASHES[_SIDES[side]],
                linewidth=0.9,
                marker=_MARKS[number],
                markersize=5.5,
                markerfacecolor="none" if side == "before" else _SERIES[number],
                label=" · ".join(word for word in (service_name, scenario, side) if word),
            )
        axis.set_xlabel("requests in flight, on average")
        axis.set_ylabel("output tokens per second")
        everything = [point for found in points.values() for point in found]
        axis.set_xlim(0, 1.1 * max(there for there, _speed in everything))
        axis.set_ylim(0, 1.1 * max(speed for _there, speed in everything))
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return _svg(figure, "throughput", "Output tokens per second against requests in flight")


def memory_plot(device: str, runs: Sequence[RunResult]) -> Markup | None:
    """Return the bytes in use on a device over the time of each run, under its budget and its total."""
    ordered = sorted(runs, key=lambda run: sides_of(runs).index(run.side))
    found = [(run, item) for run in ordered for item in run.memory if item.device == device and item.samples]
    if not found:
        return None
    with _figure(10.4, 3.0, 1, 1) as (figure, (axis,)):
        labelled = set()
        for run, item in found:
            number = _SIDES[run.side]
            axis.plot(
                [seconds for seconds, _size in item.samples],
                [size / GIB for _seconds, size in item.samples],
                color=_SERIES[number],
                linestyle=_DASHES[number],
                alpha=1.0 if len(found) <= 2 else 0.45,
                linewidth=1.4,
                label=None if run.side in labelled else run.side or "in use",
            )
            labelled.add(run.side)
        last = found[-1][1]
        axis.axhline(last.total_bytes / GIB, color=_QUIET, linestyle=":", linewidth=1.2, label="device")
        if last.budget_bytes:
            axis.axhline(last.budget_bytes / GIB, color=_SERIES[2], linestyle="--", linewidth=1.4, label="budget")
        axis.set_title(last.name)
        axis.set_xlabel("seconds since the start of the run")
        axis.set_ylabel("GiB")
        axis.set_ylim(0, last.total_bytes / GIB * 1.08)
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return _svg(figure, f"memory-{device}", f"Memory of {last.name} over time, its budget and its total")


def trend_plot(name: str, history: Sequence[tuple[RunResult, ServiceResult]], metrics: Sequence[str]) -> Markup | None:
    """Return metrics of one service over the runs that were kept, with a line where a generation changed."""
    if len(history) < 2:
        return None
    with _figure(10.4, 2.2 * len(metrics), 1, len(metrics)) as (figure, axes):
        for number, (axis, metric_name) in enumerate(zip(axes, metrics)):
            one = metric(metric_name)
            points = [(_time(run), one.read(run, service)) for run, service in history]
            known = [(when, value) for when, value in points if value is not None]
            axis.plot(
                [when for when, _value in known],
                [value for _when, value in known],
                color=_SERIES[number % len(_SERIES)],
                marker=_MARKS[number % len(_MARKS)],
                markersize=5,
                linewidth=1.2,
            )
            for (earlier, _one), (later, _two) in zip(history, history[1:]):
                if earlier.environment.generation != later.environment.generation:
                    axis.axvline(_time(later), color=_QUIET, linestyle=":", linewidth=1)
            axis.set_title(f"{one.words} ({one.unit})" if one.unit else one.words)
            axis.set_ylim(bottom=0)
            axis.tick_params(axis="x", labelrotation=15)
        return _svg(figure, f"trend-{name}", f"{name} over time")


def sides_of(runs: Iterable[RunResult]) -> list[str | None]:
    """Return the sides of some runs, before before after; None stands for runs without."""
    found = {run.side for run in runs}
    return [side for side in (None, *SIDES) if side in found]


def _time(run: RunResult) -> datetime:
    return datetime.fromisoformat(run.started.replace("Z", "+00:00"))


def _distribution(values: Sequence[float], scale: float, most: int) -> tuple[list[float], list[float]]:
    """The points of an empirical distribution, thinned so that a page of many thousand requests stays small."""
    ordered = sorted(values)
    last = len(ordered) - 1
    places = range(last + 1) if last < most else [number * last // (most - 1) for number in range(most)]
    return [scale * ordered[place] for place in places], [(place + 1) / (last + 1) for place in places]


def _latency_axis(axis: Any, values: Sequence[float]) -> None:
    positive = [value for value in values if value > 0]
    spread = max(positive) / min(positive) if positive else 1.0
    if spread > 50:
        axis.set_xscale("log")
        # Its own numbers are formulas, which a page without a script cannot show.
        axis.xaxis.set_major_locator(_ticker().LogLocator(subs=(1.0, 2.0, 5.0) if spread < 2000 else (1.0,)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
    else:
        axis.set_xlim(left=0)
        axis.locator_params(axis="x", nbins=5)


def _ticker() -> Any:
    from matplotlib import ticker  # noqa: PLC0415  (as below: a filter without plots needs no Matplotlib)

    return ticker


@contextmanager
def _figure(width: float, height: float, columns: int, rows: int) -> Iterator[tuple[Any, Sequence[Any]]]:
    try:
        # Only who draws needs Matplotlib, and is told where it is missing.
        from matplotlib import rc_context  # noqa: PLC0415  (see above)
        from matplotlib.figure import Figure  # noqa: PLC0415  (see above)
    except ImportError as error:
        raise InferenceError(
            f"The page's plots are drawn by Matplotlib, which the controller's Python ({sys.executable}) does not "
            "have: install the package matplotlib there, or leave the page out; JSON and JUnit XML need nothing."
        ) from error
    with rc_context(_RULES):
        figure = Figure(figsize=(width, height))
        yield figure, figure.subplots(rows, columns, squeeze=False).ravel().tolist()


def _svg(figure: Any, name: str, described: str) -> Markup:
    """The picture as a part of a page: without a header, its names its own, its colours the page's."""
    prefix = re.sub(r"[^a-z0-9]+", "-", name.lower())
    file = io.StringIO()
    from matplotlib import rc_context  # noqa: PLC0415  (_figure has found it)

    with rc_context({"svg.hashsalt": prefix}):
        figure.savefig(
            file, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    drawn = file.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{prefix}-", drawn)
    drawn = re.sub("|".join(_VARIABLES), lambda found: f"var({_VARIABLES[found[0]]})", drawn)
    drawn = re.sub(r"(\d\.\d\d)\d+(?!\d*</text>)", r"\1", drawn)  # paths, not labels
    drawn = re.sub(r"font-family: [^;\"]*;?|font: ([0-9.]+px) [^;\"]*", _font, drawn)
    box = re.search(r'viewBox="[^"]*"', drawn)
    start = (
        f'<svg {box[0] if box else ""} role="img" aria-label="{svg_text(described)}" class="plot" '
        'stroke-linejoin="round" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return Markup(start + re.sub(r"\n\s*", "\n", drawn[drawn.index(">") + 1 :]).strip())


def _font(found: re.Match[str]) -> str:
    return f"font-size: {found[1]}" if found[1] else ""
