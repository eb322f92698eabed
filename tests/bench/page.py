# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the figures of the benchmarks (``figures/*.json``) into docs/benchmarks.md, between its markers."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from typing import Any

from ansible_collections.llmops.inference.tests.bench.against_engine.report import table
from ansible_collections.llmops.inference.tests.bench.measuring import FIGURES, MEBIBYTE, ROOT
from ansible_collections.llmops.inference.tests.tools.generated_parts import rewritten

PAGE = ROOT / "docs" / "benchmarks.md"
# Of a run, one host: what a fleet of this size is estimated for.
FLEET = 10_000
NOT_YET = "Not measured yet."


def figures(name: str) -> dict[str, Any] | None:
    """Return the figures of a benchmark; None where it has not been run."""
    file = FIGURES / f"{name}.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def of(name: str, part: Callable[[dict[str, Any]], str]) -> Callable[[], str]:
    """Return what writes a part out of the figures of a benchmark, and what they were measured with."""

    def write() -> str:
        found = figures(name)
        if found is None:
            return NOT_YET
        versions = f"; {found['versions']}" if found["versions"] else ""
        return f"{part(found)}\n\n`{found['command']}`, {found['date']}: {found['machine']}{versions}."

    return write


def no_change(found: dict[str, Any]) -> str:
    """Return the table of runs that change nothing."""
    rows = []
    for result in found["results"]:
        ping, site, plain = (result[way] for way in ("ping", "site", "plain"))
        rows.append(
            [
                result["services"],
                f"{result['tasks']} / {result['plain_tasks']}",
                f"{site['wall'] / ping['wall']:.2f}",
                f"{plain['wall'] / ping['wall']:.2f}",
                f"{plain['wall'] / site['wall']:.1f}",
                f"{plain['cpu'] / site['cpu']:.1f}",
                f"{site['wall'] - 4 * ping['wall']:+.2f} s",
            ]
        )
    head = ["services", "tasks: ours / plain", "wall: ours / ping", "plain / ping", "**plain / ours**"]
    head += ["controller's CPU: plain / ours", "ours beyond 4 pings"]
    first, last = found["results"][0], found["results"][-1]
    growth = last["site"]["cpu"] / first["site"]["cpu"]
    return (
        f"{table(head, rows)}\n\nFrom {first['services']} services to {last['services']} the controller's CPU comes to "
        f"**{growth:.2f}** times ({last['plain']['cpu'] / first['plain']['cpu']:.2f} with plain tasks). Medians of "
        f"{first['rounds']} rounds."
    )


def serving(found: dict[str, Any]) -> str:
    """Return how long it takes until all engines serve."""
    hand, play = statistics.median(found["by_hand"]), statistics.median(found["plays"])
    rows = [
        [
            number + 1,
            f"{one:.1f} s",
            f"{gate:.1f} s",
            f"{gate / one:.3f}",
            f"{gate - one:+.1f} s",
            f"{end - gate:.1f} s",
        ]
        for number, (one, gate, end) in enumerate(zip(found["by_hand"], found["plays"], found["ends"]))
    ]
    head = ["round", "by hand", "site.yml, to its last gate", "ratio", "added", "and to its end"]
    devices = "; ".join(f"device {key}: {', then '.join(names)}" for key, names in found["devices"].items())
    return (
        f"{table(head, rows)}\n\n{devices}. At the median "
        f"**{play / hand:.3f}** times the limit, {play - hand:+.1f} s; at most 1.05 times and 10 s are allowed."
    )


def fleet_rows(points: list[dict[str, Any]], unit: float) -> list[list[object]]:
    """Return a row per point; walls are multiples of ``unit``."""
    return [
        [
            point["hosts"],
            point["forks"],
            f"{point['wall'] / unit:.2f}",
            f"{1000 * point['cpu'] / point['hosts']:.0f} ms",
            f"{point['peak'] / MEBIBYTE:.0f} MiB",
        ]
        for point in points
    ]


def per_host(found: dict[str, Any]) -> tuple[float, float]:
    """Return the controller's CPU (seconds) and memory (bytes) that one more host costs."""
    first, last = found["by_hosts"][0], found["by_hosts"][-1]
    more = last["hosts"] - first["hosts"]
    return (last["cpu"] - first["cpu"]) / more, (last["peak"] - first["peak"]) / more


def fleet(found: dict[str, Any]) -> str:
    """Return the curves over hosts and forks, and what a host that fails does to the others."""
    middle = next(point for point in found["by_hosts"] if point["hosts"] == found["absent"]["hosts"])
    head = ["hosts", "forks", f"wall, of {middle['hosts']} hosts' with {middle['forks']} forks"]
    head += ["controller's CPU per host", "memory of its largest process"]
    by_forks = sorted([*found["by_forks"], middle], key=lambda point: int(point["forks"]))
    cpu, memory = per_host(found)
    return (
        f"{table(head, fleet_rows(found['by_hosts'], middle['wall']))}\n\n"
        f"{table(head, fleet_rows(by_forks, middle['wall']))}\n\n"
        f"One more host costs the controller {1000 * cpu:.0f} ms of CPU and {memory / MEBIBYTE:.2f} MiB. With one host "
        f"of {middle['hosts']} that does not answer the run takes "
        f"**{found['absent']['wall'] / middle['wall']:.2f}** times as long, and all others end as they would."
    )


def estimate(found: dict[str, Any]) -> str:
    """Return what a run on 10,000 hosts takes, out of what was measured."""
    cpu, memory = per_host(found)
    rows = []
    for controllers, cores in ((1, 8), (1, 32), (10, 8), (50, 8)):
        hosts = FLEET / controllers
        rows.append(
            [
                controllers,
                cores,
                f"{hosts:,.0f}",
                f"{hosts * cpu / cores / 60:.1f} min",
                f"{hosts * memory / MEBIBYTE / 1024:.1f} GiB",
            ]
        )
    head = ["controllers (slices)", "cores of each", "hosts of each", "CPU alone takes", "memory for hosts"]
    return table(head, rows)


def plans(found: dict[str, Any]) -> str:
    """Return the curve of plans."""
    rows = [
        [f"{point['hosts']:,}", f"{point['baseline_ratio']:.1f}", f"{point['milliseconds']:.2f} ms"]
        for point in found["curve"]
    ]
    return table(["hosts", "planning / the same plans read and written as JSON", "per host"], rows)


PARTS = {
    "no-change": of("no-change", no_change),
    "serving": of("serving", serving),
    "fleet": of("fleet", fleet),
    "estimate": of("fleet", estimate),
    "plans": of("plans", plans),
}


def current(text: str) -> str:
    """Return the page with what its markers enclose written anew."""
    return rewritten(text, PARTS)


if __name__ == "__main__":
    PAGE.write_text(current(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
