# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tutorial's commands, one after the other, say what the page says they do.

Two are not run: ``make setup``, which made the Python of this test, and ``make demo-clean``, which would also remove
the downloads of other tests; the test host is removed by itself instead.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from ansible_collections.llmops.inference.tests.documentation.pages import blocks
from ansible_collections.llmops.inference.tests.tools.environments import ROOT

PAGE = ROOT / "docs" / "tutorial.md"
NOT_RUN = {"make setup", "make demo-clean"}


def steps() -> list[tuple[list[str], str]]:
    """Return each step's commands, and the lines that they must say."""
    found: list[tuple[list[str], str]] = []
    for block in blocks(PAGE):
        if block.language == "console":
            found.append((block.commands(), ""))
        elif block.language == "text":
            found[-1] = (found[-1][0], block.text)
    return found


STEPS = steps()
SERVING = next(number for number, (commands, _said) in enumerate(STEPS) if "make demo" in commands)


def write_files() -> None:
    """Write what the page has its reader write."""
    for block in blocks(PAGE):
        name, _newline, _text = block.text.partition("\n")
        if block.language == "yaml" and name.startswith("# "):
            file = ROOT / name.removeprefix("# ")
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text, encoding="utf-8")


def do(commands: list[str], expected: str) -> None:
    """Run the commands of a step in one shell and compare; whitespace and line breaks do not count."""
    fails = "failed=1" in expected
    setting = ["export PATH=$PWD/.venv/bin:$PATH ANSIBLE_NOCOLOR=1"]
    script = "\n".join([*setting, *(command for command in commands if command not in NOT_RUN)])
    shell = ["bash", "-c", script if fails else f"set -e\n{script}"]
    ran = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    assert (ran.returncode != 0) == fails, ran.stdout + ran.stderr
    said = " ".join((ran.stdout + ran.stderr).replace("''", "'").split())
    for line in expected.splitlines():
        assert " ".join(line.split()) in said, ran.stdout + ran.stderr


@pytest.mark.parametrize("number", range(SERVING))
def test_on_paper(number: int) -> None:
    write_files()
    do(*STEPS[number])


@pytest.fixture(scope="module")
def host() -> Iterator[None]:
    """Removes the test host in the end."""
    yield
    subprocess.run(["tests/testbed/in-testbed", "tests/testbed/host", "down", "llmops-demo"], cwd=ROOT, check=True)


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("number", range(SERVING, len(STEPS)))
def test_with_real_engines(number: int) -> None:
    do(*STEPS[number])
