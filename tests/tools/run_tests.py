# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the tests of this checkout, three steps without engines at once, and ends with the line ``N passed, N failed``.

Arguments: names of steps; or ``--fast``, for lint and unit tests; or ``--all``, for the LONG ones as well.
What a step printed is in build/reports/STEP.log, and on the terminal when it failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from xml.etree import ElementTree

from ansible_collections.llmops.inference.tests.tools import compatibility

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "build" / "reports"
IN_TESTBED = str(ROOT / "tests" / "testbed" / "in-testbed")
LINES_OF_A_FAILURE = 200
# Where only the end of a run is kept, it still tells what failed.
LINES_AT_THE_END = 12
# Keep engines busy for many minutes each, and `make test` is to answer within the hour: `make test-all`, or by name.
LONG = (
    "upgrade",
    "watch",
    "awx-host",
    "tutorial",
    "monitoring",
    "bundle",
    "quadlet",
    "validation",
    "compare",
    "tune",
    "multihost",
    "ray",
)
# What starts engines runs alone, after the others: plans heed the memory that others hold, and so would find another
# machine each time; and some compare speeds.
WITH_ENGINES = (*compatibility.scenario_names(), "awx-host", "tutorial")
# The others: some wait for podman, some for one core.
AT_ONCE = 3
# Unit tests that start processes, plays or a browser take as long as all the others, so they run beside them.
WITH_PROCESSES = tuple(
    f"tests/unit/plugins/{test}.py"
    for test in (
        "module_utils/_deploy/test_transaction",
        "module_utils/_host/test_job",
        "module_utils/_monitoring/test_relay",
        "modules/test_gpu_topology_info",
        "modules/test_vllm_deployment_teardown",
        "modules/test_vllm_plan",
        "plugin_utils/_action/test_follow",
        "plugin_utils/_plan_page/test_looks",
        "plugin_utils/_plan_page/test_page",
        "plugin_utils/_report/test_page",
    )
)


def elements(report: Path, tag: str) -> list[ElementTree.Element]:
    """Return the elements of a JUnit report that have this tag; none where there is no report."""
    return list(ElementTree.parse(report).getroot().iter(tag)) if report.exists() else []


def counts(report: Path) -> tuple[int, int]:
    """Return how many tests of a JUnit report passed and how many failed; skipped ones are neither."""
    suites = elements(report, "testsuite")
    failed = sum(int(suite.get("failures", 0)) + int(suite.get("errors", 0)) for suite in suites)
    skipped = sum(int(suite.get("skipped", 0)) for suite in suites)
    return sum(int(suite.get("tests", 0)) for suite in suites) - failed - skipped, failed


def failures(step: str) -> list[str]:
    """Return one line per test of the step's report that failed, or the last lines of its log where none says so."""
    named = [
        f"{case.get('classname')}::{case.get('name')}: {' '.join(str(said.get('message')).split())[:300]}"
        for case in elements(REPORTS / f"{step}.xml", "testcase")
        for said in (*case.findall("failure"), *case.findall("error"))
    ]
    return named or (REPORTS / f"{step}.log").read_text(encoding="utf-8").splitlines()[-LINES_AT_THE_END:]


def run(step: str, command: list[str]) -> tuple[int, int]:
    """Run one step, say how it went, and return how many tests passed and failed.

    The step itself is one that passed, or that failed when no test of its own says so.
    """
    report, log = REPORTS / f"{step}.xml", REPORTS / f"{step}.log"
    report.unlink(missing_ok=True)
    print(f"{step} ...", flush=True)
    started = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("w", encoding="utf-8") as output:
        status = subprocess.run(
            command,
            cwd=ROOT,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, "PYTEST_ADDOPTS": f"--junitxml={report}", "NO_COLOR": "1"},
        ).returncode
    passed, failed = counts(report)
    if status == 0:
        passed += 1
    else:
        failed = failed or 1
        print(*log.read_text(encoding="utf-8").splitlines()[-LINES_OF_A_FAILURE:], sep="\n")
    verdict = "ok" if status == 0 else f"FAILED (exit status {status})"
    print(f"{step}: {verdict}, {passed} passed, {failed} failed, {time.monotonic() - started:.0f} s", flush=True)
    # What a test measured and recorded; a suite's own properties are Hypothesis' statistics.
    for case in elements(report, "testcase"):
        for figure in case.iterfind("properties/property"):
            print(f"{step}: {figure.get('name')}: {figure.get('value')}", flush=True)
    return passed, failed


def steps(arguments: list[str]) -> list[tuple[str, list[str]]]:
    """Return the name and the command of each step."""
    pytest = [IN_TESTBED, "python", "-m", "pytest"]
    core = [IN_TESTBED, "env", f"PYTHONPATH={ROOT / '.venv/collections'}", "python", "tests/tools/core_matrix.py"]
    known = {
        "lint": [str(ROOT / "tests" / "tools" / "lint")],
        "unit": [*pytest, *(f"--ignore={file}" for file in WITH_PROCESSES)],
        "unit-processes": [*pytest, *WITH_PROCESSES],
        "core": [*core, "--newest"],
        "package": [*pytest, "tests/package"],
        "playbooks": [*pytest, "tests/playbooks"],
        "documentation": [*pytest, "tests/documentation", "-k", "not with_real_engines"],
        "awx": [*pytest, "tests/awx", "--ignore=tests/awx/test_host.py"],
        **{name: [IN_TESTBED, "molecule", "test", "--scenario-name", name] for name in compatibility.scenario_names()},
        "awx-host": [*pytest, "tests/awx/test_host.py"],
        "tutorial": [*pytest, "tests/documentation/test_tutorial.py", "-k", "with_real_engines"],
    }
    wanted = [name for name in arguments if not name.startswith("--")]
    unknown = set(wanted) - set(known)
    if unknown:
        raise SystemExit(f"run_tests: no step {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if "--fast" in arguments:
        wanted = ["lint", "unit", "unit-processes"]
    elif not wanted:
        wanted = [name for name in known if name not in LONG or "--all" in arguments]
    return [(name, known[name]) for name in wanted]


def main() -> int:
    """Run the steps and return the exit status."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    wanted = steps(sys.argv[1:])
    together = [step for step in wanted if step[0] not in WITH_ENGINES]
    results: dict[str, tuple[int, int]] = {}
    for at_once, group in ((AT_ONCE, together), (1, [step for step in wanted if step not in together])):
        with ThreadPoolExecutor(at_once) as pool:
            running = {pool.submit(run, *step): step[0] for step in group}
            for ended in as_completed(running):
                step = running[ended]
                results[step] = ended.result()
                if step in compatibility.scenario_names():
                    compatibility.note_scenario(step, passed=not results[step][1])
    failed = sum(result[1] for result in results.values())
    if "--fast" not in sys.argv[1:]:
        print(compatibility.write_page())
    if not sys.argv[1:]:
        print(f"not run: {', '.join(LONG)} (make test-all)")
    for step in results:
        if results[step][1]:
            print(f"{step} failed:", *failures(step), sep="\n  ")
    print(f"{sum(result[0] for result in results.values())} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
