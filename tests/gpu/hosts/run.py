# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection on a GPU host of an inventory: deploy, run again, plan after a recorded start, break things.

``run.py --inventory INVENTORY --out DIRECTORY SCENARIO...`` plays the collection's own playbooks on the one host of
group ``vllm``. It keeps every log, each answer of the host about its services, and the journal of the units. The host
may be any GPU host, or a box (README.md in tests/gpu/box). Its services restart and fail on purpose.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
FAULT = Path(__file__).with_name("fault.py")


class Run:
    """One run against one host; ``steps`` is what was done, written after every step."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._asked = asked
        self._out: Path = asked.out
        self._out.mkdir(parents=True, exist_ok=True)
        self.steps: list[dict[str, Any]] = []

    def _keep(self, step: dict[str, Any]) -> None:
        self.steps.append(step)
        (self._out / "steps.json").write_text(json.dumps(self.steps, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(step), flush=True)

    def _ansible(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [
            f"{self._asked.programs}/{program}" if self._asked.programs else program,
            "-i",
            self._asked.inventory,
        ]
        return subprocess.run(
            [*command, *words], check=False, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    def play(self, name: str, *words: str) -> bool:
        """Play one playbook; return whether it succeeded."""
        began = time.time()
        done = self._ansible("ansible-playbook", *words)
        seconds = round(time.time() - began, 1)
        (self._out / f"{name}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        recap = re.findall(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", done.stdout, re.M)
        changed = sum(int(host[2]) for host in recap)
        self._keep({"play": name, "at": began, "seconds": seconds, "status": done.returncode, "changed": changed})
        self.tell(name)
        return done.returncode == 0

    def tell(self, name: str) -> None:
        """Keep what the host tells of its deployment, incidents included."""
        self._module(f"{name}.info", "llmops.inference.vllm_deployment_info", "")

    def _module(self, name: str, module: str, words: str) -> dict[str, Any]:
        place = self._out / "answers" / name
        self._ansible("ansible", "vllm", "-m", module, "-a", words, "--tree", str(place))
        answers = [json.loads(path.read_text(encoding="utf-8")) for path in place.glob("*")]
        return dict(answers[0]) if answers else {}

    def fault(self, name: str, fault: str, service: str, ports: str) -> None:
        """Do one thing to a service on the host; keep what was lost and what the incident says."""
        began = time.time()
        words = f"{FAULT} {fault} {service} --services {ports}"
        answer = self._module(name, "ansible.builtin.script", json.dumps({"cmd": words, "executable": "python3"}))
        try:
            result = json.loads(answer["stdout"].strip().splitlines()[-1])
        except (KeyError, ValueError, IndexError):
            result = {"unread": json.dumps(answer)[-1500:]}
        self._keep({"fault": name, "at": began, "seconds": round(time.time() - began, 1), "result": result})
        self.tell(name)

    def journal(self) -> None:
        """Keep the journal of the units, with times to the microsecond."""
        answer = self._module(
            "journal", "ansible.builtin.shell", "journalctl -o short-unix --no-pager | gzip -c | base64 -w0"
        )
        (self._out / "journal.gz.base64").write_text(answer.get("stdout", ""), encoding="ascii")


PAIR = "mini=8002,micro=8003"
ALL = "medium=8001,mini=8002,micro=8003"


def pair(run: Run) -> None:
    """Two services sharing a GPU: deployed, deployed again, planned after one start, restarted together."""
    if run.play("pair-first", "playbooks/site.yml", "-e", "gpu_box_layout=pair"):
        run.play("pair-second", "playbooks/site.yml", "-e", "gpu_box_layout=pair")
        run.play("pair-planned", "playbooks/plan.yml", "-e", "gpu_box_layout=pair", "-e", "vllm_plan_html=")
        run.fault("pair-restart", "restart", "all", PAIR)


def faults(run: Run) -> None:
    """Faults on the pair, the quick ones first."""
    run.fault("pair-kill-core", "kill-core", "mini", PAIR)
    run.fault("pair-kill-api-server", "kill-api-server", "micro", PAIR)
    run.fault("pair-memory-limit", "memory-limit", "micro", PAIR)
    run.fault("pair-foreign-memory", "foreign-memory", "micro", PAIR)
    run.fault("pair-no-compiler", "no-compiler", "micro", PAIR)


def three(run: Run) -> None:
    """MEDIUM on two GPUs, MINI and MICRO beside it; one rank killed."""
    if run.play("three-first", "playbooks/site.yml", "-e", "gpu_box_layout=three"):
        run.play("three-planned", "playbooks/plan.yml", "-e", "gpu_box_layout=three", "-e", "vllm_plan_html=")
        run.fault("three-kill-rank", "kill-rank", "medium", ALL)


def three_more(run: Run) -> None:
    """The rest of the faults of several ranks."""
    run.fault("three-full-shared-memory", "full-shared-memory", "medium", ALL)


SCENARIOS = {"pair": pair, "faults": faults, "three": three, "three-more": three_more}


def main(arguments: list[str]) -> int:
    """Run the scenarios named, in the order named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inventory", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--programs", default="", help="the directory of ansible-playbook, where it is not on PATH")
    parser.add_argument("scenario", nargs="+", choices=list(SCENARIOS))
    asked = parser.parse_args(arguments)
    run = Run(asked)
    try:
        for name in asked.scenario:
            SCENARIOS[name](run)
    finally:
        run.journal()
    return 0 if all(not step.get("status") for step in run.steps) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
