# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan says against what the real engine does, for every combination of ``against_engine``.

Brings up a test host with the engine, tries the combinations there, keeps what happened as
``against_engine/measured.jsonl``, writes the page about it and prints its tables. ``--only`` tries some again and
leaves the others as they are; ``--report`` tries nothing. Exits with 1 where a target is missed.

Nothing else should take or give back memory of the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ansible_collections.llmops.inference.tests.bench.against_engine import report
from ansible_collections.llmops.inference.tests.bench.against_engine.replay import MEASURED, Trials
from ansible_collections.llmops.inference.tests.bench.overhead import report as overhead
from ansible_collections.llmops.inference.tests.tools.generated_parts import rewritten

ROOT = Path(__file__).resolve().parents[2]
TESTBED = ROOT / "tests" / "testbed"
PAGE = ROOT / "docs" / "plan-against-engine.md"
HOST = "bench"
ADDRESS = "10.89.96.30"
COLLECTIONS = "/srv/collections"
ENGINE_VERSION = "0.32.0"

SECTIONS: Mapping[str, Callable[[Trials], str]] = {
    "machine": report.machine,
    "estimates": lambda trials: report.confusion(trials, calibrated=False),
    "calibrated": lambda trials: report.confusion(trials, calibrated=True),
    "kv": report.kv_errors,
    "axes": report.axes,
    "margins": report.margins,
    "gate-1": report.before_gate_1,
    "cold": report.cold,
    "everything": report.everything,
    "overhead-coefficients": lambda _trials: overhead.coefficients(),
    "overhead-models": lambda _trials: overhead.by_model(),
    "engine-versions": lambda _trials: overhead.engine_versions(),
    "overhead-versions": lambda _trials: overhead.by_version(),
}


def current(text: str, trials: Trials) -> str:
    """Return the page with what its markers enclose written anew."""
    return rewritten(text, {name: partial(part, trials) for name, part in SECTIONS.items()})


def measure(names: Sequence[str]) -> list[str]:
    """Try combinations on a test host, all of them where none is named; return a line for each."""
    mounted = f"{ROOT}:{COLLECTIONS}/ansible_collections/llmops/inference:ro"
    options = ["--engine", "--models", f"--ip={ADDRESS}", "--volume", mounted]
    subprocess.run([TESTBED / "host", "up", HOST, "bookworm", *options], check=True)
    try:
        if names:
            return tried("--only", *names)
        return tried() + tried("--cold")[1:]  # which says again what machine it is
    finally:
        subprocess.run([TESTBED / "host", "down", HOST], check=True)


def tried(*arguments: str) -> list[str]:
    """Return what the trials on the test host print."""
    variables = [f"--env=PYTHONPATH={COLLECTIONS}", "--env=PYTHONDONTWRITEBYTECODE=1"]
    module = "ansible_collections.llmops.inference.tests.bench.against_engine.trials"
    command = ["podman", "exec", *variables, HOST, "python3", "-m", module, "--engine-version", ENGINE_VERSION]
    lines = []
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            lines.append(line)
            say(line)
    if process.returncode != 0:
        raise SystemExit(f"plan_against_engine: the trials ended with exit status {process.returncode}")
    return lines


def say(line: str) -> None:
    """Print a combination that was just tried."""
    row = json.loads(line)
    if "starts" in row:
        took = sum(start["seconds"] for start in row["starts"])
        print(f"{row['name']:40} {row['starts'][-1]['verdict']:8} {took:6.1f} s", flush=True)


def merged(before: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Return the rows of earlier trials with those that were tried again in their place."""
    again = {_name(line): line for line in lines}
    return [again.pop(_name(line), line) for line in before] + list(again.values())


def _name(line: str) -> tuple[str, bool]:
    row = json.loads(line)
    return row.get("name", ""), bool(row.get("cold"))


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="try these combinations again")
    parser.add_argument("--report", action="store_true", help="try nothing: write and print what is recorded")
    arguments = parser.parse_args()
    if not arguments.report:
        lines = measure(arguments.only)
        if arguments.only:
            lines = merged(MEASURED.read_text(encoding="utf-8").splitlines(keepends=True), lines)
        MEASURED.write_text("".join(lines), encoding="utf-8")
    trials = Trials.read()
    PAGE.write_text(current(PAGE.read_text(encoding="utf-8"), trials), encoding="utf-8")
    for name in ("machine", "estimates", "calibrated", "kv", "margins"):
        print(f"\n{SECTIONS[name](trials)}")
    found = report.complaints(trials)
    for line in found:
        print(f"plan_against_engine: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
