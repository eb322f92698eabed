# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host under deployment and the plays against it, as the tests of faults use them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

ROOT = Path(__file__).resolve().parents[2]
JOBS = "/run/llmops-inference"
PATIENCE_SECONDS = 900


@dataclass(frozen=True)
class Ended:
    """How a play ended: its exit status, all that it wrote, and how many tasks changed something."""

    status: int
    output: str

    @property
    def changed(self) -> int:
        """Tasks that changed something, of the recap."""
        return int(re.findall(r"changed=(\d+)", self.output)[-1])

    @property
    def flat(self) -> str:
        """All that it wrote on one line, as a message that was wrapped reads."""
        return " ".join(self.output.split())


class Play:
    """An ansible-playbook that runs."""

    def __init__(self, command: list[str]) -> None:
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        for name in ("ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_FORCE_COLOR"):  # of Molecule
            environment.pop(name, None)
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # killed with all its workers and connections
        )

    def kill(self) -> None:
        """SIGKILL, for the play and everything it has started on this machine, where it has not ended."""
        if not self.has_ended:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> Ended:
        """Return how it ended; one that does not is killed, and fails the test."""
        try:
            output = self._process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise AssertionError(f"after {seconds:.0f} s it still ran: {self._process.communicate()[0]}") from None
        return Ended(self._process.returncode, output)

    @property
    def has_ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None


class Site:
    """One host of a scenario, deployed to by its inventory and plays of this checkout."""

    def __init__(self, scenario: str, host: str) -> None:
        self.host = host
        self._scenario = ROOT / "molecule" / scenario

    def start(self, playbook: str = "converge.yml", *options: str, **variables: Any) -> Play:
        """Start a play of the scenario, or one of the collection's by a path below the checkout."""
        path = self._scenario / playbook if "/" not in playbook else ROOT / playbook
        command = ["ansible-playbook", f"--inventory={self._scenario / 'inventory.yml'}", f"--limit={self.host}"]
        command += ["--extra-vars", json.dumps({"vllm_hosts": self.host, **variables}), *options, str(path)]
        return Play(command)

    def play(self, playbook: str = "converge.yml", *options: str, **variables: Any) -> Ended:
        """Run a play to its end."""
        return self.start(playbook, *options, **variables).wait()

    def converge(self, **variables: Any) -> Ended:
        """Deploy the scenario's layout; it has to succeed."""
        ended = self.play(**variables)
        assert ended.status == 0, ended.output
        return ended

    def module(self, name: str, **options: Any) -> dict[str, Any]:
        """What a module of the collection returns."""
        command = ["ansible", f"--inventory={self._scenario / 'inventory.yml'}", "--one-line", self.host]
        command += [f"--module-name=llmops.inference.{name}", *([f"--args={json.dumps(options)}"] if options else [])]
        output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
        assert "SUCCESS => " in output, output
        return dict(json.JSONDecoder().raw_decode(output.partition("SUCCESS => ")[2])[0])  # warnings may follow

    def info(self, **options: Any) -> dict[str, Any]:
        """What vllm_deployment_info returns with these options."""
        return self.module("vllm_deployment_info", **options)

    def run(self, command: str, check: bool = True) -> str:
        """Run a shell command on the host and return what it wrote."""
        done = subprocess.run(
            ["podman", "exec", self.host, "sh", "-c", command], capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def pids(self) -> dict[str, str]:
        """The main process of every service."""
        units = self.run("systemctl list-units --all --plain --no-legend 'vllm@*' | cut -d' ' -f1").split()
        return {unit: self.run(f"systemctl show --value -p MainPID {unit}") for unit in units}

    def current(self) -> str:
        """Where the link to the active generation points."""
        return self.run("readlink /etc/vllm/current")

    def job(self) -> Optional[tuple[int, int]]:
        """The processes of the transaction under way: the one that watches, and the one that works."""
        command = f"pids=$(cat {JOBS}/job-*/pids) && for pid in $pids; do kill -0 $pid || exit; done && echo $pids"
        words = self.run(command, check=False).split()
        return (int(words[0]), int(words[1])) if len(words) == 2 else None

    def locked(self) -> bool:
        """Whether somebody deploys."""
        return self.run(f"flock --nonblock {JOBS}/lock true && echo free || echo held", check=False) != "free"

    def loses_power(self) -> None:
        """The host is gone from one moment to the next, and boots."""
        for command in (["kill", "--signal=KILL"], ["start"]):
            subprocess.run(["podman", *command, self.host], check=True, stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def asking(self, service: str, port: int, key: str = "") -> Iterator[Callable[[], tuple[int, int, str]]]:
        """Have a client on the host ask a service all the while; yields what gives (asked, failed, first failure)."""
        counts = f"/run/asked-{service}"
        command = ["python3", "/srv/ask.py", str(port), service, key, counts]
        self.run(f"rm -f {counts}; systemd-run --quiet --unit=ask-{service} {shlex.join(command)}")

        def counted() -> tuple[int, int, str]:
            asked, failed, first = [*self.run(f"cat {counts}").split(" ", 2), "", ""][:3]
            return int(asked), int(failed), first

        try:
            await_that(lambda: bool(self.run(f"cat {counts} 2>/dev/null", check=False)), "the client asks")
            yield counted
        finally:
            self.run(f"systemctl stop ask-{service}", check=False)


def await_that(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Return once it is so; AssertionError when it is not after so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s it is still not so that {what}"
        time.sleep(0.2)
