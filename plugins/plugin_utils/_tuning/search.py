# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A search for a better layout, told: which candidates were measured how, and which one to review."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import RunResult, field_names
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._records import Record
from ansible_collections.llmops.inference.plugins.plugin_utils._report.measures import Goodput, goodput
from ansible_collections.llmops.inference.plugins.plugin_utils._report.report import summary
from ansible_collections.llmops.inference.plugins.plugin_utils._table import table
from ansible_collections.llmops.inference.plugins.plugin_utils._tuning.halving import (
    START,
    Rung,
    Trial,
    rungs,
    score,
    winner,
)

TUNING_SCHEMA_VERSION = 1

_COLUMNS = (
    ("", "mark", "{}"),
    ("CANDIDATE", "candidate", "{}"),
    ("SERVICE", "service", "{}"),
    ("SHARE", "gpu_memory_utilization", "{:.4f}"),
    ("CONTEXT", "max_model_len", "{}"),
    ("KV", "kv_cache_dtype", "{}"),
    ("SEQS", "max_num_seqs", "{}"),
    ("BATCH", "max_num_batched_tokens", "{}"),
    ("GOOD REQUESTS/S", "score", "{}"),
    ("MEASURED", "measured", "{}"),
)


def read_within(value: Mapping[str, Any]) -> Goodput:
    """Return the limits of a good request; InferenceError for what is none."""
    record = Record(value, "within", field_names(Goodput))
    return Goodput(**{name: record.number(name) for name in field_names(Goodput)})


def goodput_score(runs: Sequence[RunResult], within: Goodput) -> float:
    """Return the requests per second that keep the limits: the geometric mean of all services that were measured.

    A service that answers none in time makes the whole layout worth nothing, however fast its neighbours are.
    """
    found = [goodput(service, within) or 0.0 for run in runs for service in run.services]
    if not found:
        raise InferenceError("A score takes at least one service that was measured.")
    return math.exp(math.fsum(map(math.log, found)) / len(found)) if min(found) > 0 else 0.0


def read_trial(value: Mapping[str, Any]) -> Trial:
    """Return the trial of a mapping as :class:`Trial` has it; other keys are for readers."""
    return Trial(
        int(value["candidate"]),
        int(value["rung"]),
        tuple(map(float, value["scores"])),
        float(value["deploy_seconds"]),
        float(value["measure_seconds"]),
    )


def ladder(candidates: int, settings: Mapping[str, Any]) -> list[Rung]:
    """Return the rungs for so many candidates; ``settings`` are ``keep`` and ``repeats``, InferenceError if wrong."""
    keep, repeats = settings.get("keep", 0.5), settings.get("repeats", 1)
    if not isinstance(keep, (int, float)) or not 0 < keep < 1:
        raise InferenceError(f"keep is {keep!r:.80}; a number above 0 and below 1 is expected.")
    if not isinstance(repeats, int) or repeats < 1:
        raise InferenceError(f"repeats is {repeats!r:.80}; a whole number of at least 1 is expected.")
    if candidates < 1:
        raise InferenceError("There is no candidate to try.")
    return rungs(candidates, float(keep), repeats)


def most_trials(candidates: int, settings: Mapping[str, Any]) -> int:
    """Return how many trials a search takes at most."""
    return sum(rung.size for rung in ladder(candidates, settings))


def tuning_report(
    candidates: Sequence[Mapping[str, Any]],
    trials: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    runs: Mapping[str, Sequence[RunResult]],
) -> dict[str, Any]:
    """Return the evidence as data; ``runs`` are those of each candidate, by its number as text.

    ``start`` is None where the stated layout itself did not fit; candidate 0 is then one like any other.
    """
    done = list(map(read_trial, trials))
    best = winner(ladder(len(candidates), settings), done)
    start = START if settings["start_fits"] else None
    rows = [
        {
            **candidate,
            "candidate": number,
            "score": score(done, number),
            "scores": [one for trial in done if trial.candidate == number for one in trial.scores],
            "problem": next((t["problem"] for t in trials if t["candidate"] == number and t.get("problem")), None),
            "summary": summary(runs.get(str(number), ()), 0.95),
        }
        for number, candidate in enumerate(candidates)
    ]
    return {
        "schema_version": TUNING_SCHEMA_VERSION,
        **{key: settings[key] for key in ("host", "scenario", "within", "seed", "seconds", "seconds_used")},
        "considered": settings["considered"],
        "start": start,
        "winner": best,
        "changes": candidates[best]["changes"] if best is not None else {},
        "improvement": _improvement(rows, start, best),
        "candidates": rows,
        "trials": [dict(trial) for trial in trials],
    }


def _improvement(rows: Sequence[Mapping[str, Any]], start: int | None, best: int | None) -> float | None:
    """How many times the start's goodput the winner has; None where one of them has none."""
    if start is None or best is None or not rows[start]["score"] or rows[best]["score"] is None:
        return None
    return float(rows[best]["score"]) / float(rows[start]["score"])


def tuning_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the evidence in lines for a terminal, the best candidate first and those that did not start last."""
    rows = []
    for item in sorted(report["candidates"], key=lambda item: (item["score"] is None, -(item["score"] or 0.0))):
        mark = {report["winner"]: "*", report["start"]: "start"}.get(item["candidate"], "")
        for place, service in enumerate(item["services"]):
            first = place == 0
            rows.append(
                {
                    **service,
                    "service": service["name"],
                    "mark": mark if first else "",
                    "candidate": item["candidate"] if first else "",
                    "score": _score_text(item) if first else "",
                    "measured": len(item["scores"]) if first else "",
                }
            )
    return [*table(_COLUMNS, rows), "", verdict(report)]


def _score_text(item: Mapping[str, Any]) -> str:
    if item["score"] is None:
        return "did not start" if item["problem"] else "not tried"
    low, high = min(item["scores"]), max(item["scores"])
    return f"{item['score']:.3f}" + (f" ({low:.3f} to {high:.3f})" if len(item["scores"]) > 1 else "")


def verdict(report: Mapping[str, Any]) -> str:
    """Return in a sentence what came out, and how far it carries."""
    if report["winner"] is None:
        return "Nothing that was tried served; the layout stays as it is."
    best = report["candidates"][report["winner"]]
    if report["winner"] == report["start"]:
        return "Nothing that was tried is better than the layout as it stands."
    text = f"Candidate {report['winner']} answers {best['score']:.3f} requests per second in time"
    if report["improvement"] is not None:
        text += f", {report['improvement']:.2f} times what the layout as it stands does"
    return f"{text}. The measurements were few: compare the two before you change over."


def review_file(report: Mapping[str, Any]) -> str:
    """Return the winning layout as a file to review: the changed keys, below what speaks for them."""
    sides = {"vllm_experiment_before": {}, "vllm_experiment_after": {"changes": _plain(report["changes"])}}
    lines = [f"# {line}".rstrip() for line in (f"Found by tune on {report['host']}.", *tuning_lines(report))]
    lines += [
        "#",
        f"# A good request keeps {json.dumps(report['within']) if report['within'] else 'to its end'}, "
        f"under the scenario {report['scenario']}.",
        "# Nothing of this is deployed. Compare it with the layout as it stands,",
        f"#   ansible-playbook llmops.inference.compare -e '{json.dumps(sides)}'",
        "# and, to change over, put it into the variables of the host.",
    ]
    content = yaml.safe_dump({"vllm_services_changes": _plain(report["changes"])}, sort_keys=True)
    return "\n".join(["---", *lines, content])


def _plain(value: Any) -> Any:
    """The same without the controller's own kinds of text, which YAML does not know how to write."""
    return json.loads(json.dumps(value))
