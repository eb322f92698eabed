# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A systemd host on a GPU machine that has neither systemd nor a network.

box up                   install what the kit holds, boot, and wait until systemd runs
box run COMMAND...       run a command in the box
box play PLAYBOOK ARG... ansible-playbook in the box, on the box, with the kit's inventory
box start NAME COMMAND...  run a command in the box that outlives this connection
box wait NAME SECONDS    print the log of a started command; its exit status, or 75 while it runs
box down                 end the box and everything in it
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNNING = 75  # exit status of "wait" while the command runs: EX_TEMPFAIL
ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": "dumb",
}


class Box:
    """One box of a machine: its kit, and the process that is systemd in it."""

    def __init__(self, kit: Path) -> None:
        self.kit = kit
        self.state = kit / "box"
        self.jobs = kit / "jobs"

    def pid(self) -> int | None:
        """Return systemd's process outside the box, or None where the box does not run."""
        for process in Path("/sys/fs/cgroup/gpu-box").rglob("cgroup.procs"):
            for pid in process.read_text(encoding="ascii").split():
                status = Path(f"/proc/{pid}/status")
                if status.exists() and _is_init(status.read_text(encoding="ascii", errors="replace")):
                    return int(pid)
        return None

    def inside(self, command: list[str]) -> list[str]:
        """Return the command line that runs a command in the box."""
        pid = self.pid()
        if pid is None:
            raise SystemExit("box: it does not run; start it with: box up")
        variables = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return ["nsenter", "-t", str(pid), "-m", "-u", "-i", "-p", "-C", "--", "env", "-i", *variables, *command]

    def playing(self, arguments: list[str]) -> list[str]:
        """Return the command that plays a playbook of the collection in the box."""
        home = self.kit / "collections" / "ansible_collections" / "llmops" / "inference"
        variables = [
            f"ANSIBLE_COLLECTIONS_PATH={self.kit}/collections",
            f"ANSIBLE_CONFIG={home}/ansible.cfg",
            "ANSIBLE_NOCOLOR=1",
            "PYTHONUNBUFFERED=1",
        ]
        program = f"{self.kit}/controller/bin/ansible-playbook"
        return ["env", "-C", str(home), *variables, program, "-i", "tests/gpu/box/inventory", *arguments]

    def up(self) -> int:
        """Install, boot and wait; what is done already is not done again."""
        installed = subprocess.run([str(HERE / "install"), str(self.kit)], check=False).returncode
        if installed != 0:
            return installed
        if self.pid() is None:
            self.state.mkdir(parents=True, exist_ok=True)
            subprocess.Popen([str(HERE / "boot"), str(self.state), str(self.kit)], start_new_session=True)
        state = ""
        for _second in range(60):
            time.sleep(1)
            if self.pid() is None:
                continue
            question = self.inside(["systemctl", "is-system-running"])
            asked = subprocess.run(question, check=False, capture_output=True, text=True)
            state = asked.stdout.strip()
            if state in ("running", "degraded"):
                print(f"box: {state}")
                return subprocess.run(self.inside(["systemctl", "--failed", "--no-legend"]), check=False).returncode
        console = self.state / "console"
        print(f"box: systemd did not come up, it is {state or 'not there'}; {console} says:", file=sys.stderr)
        print(console.read_text(encoding="utf-8", errors="replace")[-2000:], file=sys.stderr)
        return 1

    def start(self, name: str, command: list[str]) -> int:
        """Start a command in a process session of its own; its log and exit status become files."""
        self.jobs.mkdir(parents=True, exist_ok=True)
        status = self.jobs / f"{name}.status"
        status.unlink(missing_ok=True)
        script = '"$@" > "$0.log" 2>&1 < /dev/null; echo $? > "$0.status"'
        words = ["/bin/bash", "-c", script, str(self.jobs / name), *self.inside(command)]
        subprocess.Popen(words, start_new_session=True)
        return 0

    def wait(self, name: str, seconds: float) -> int:
        """Wait for a started command at most so long; print its log."""
        status, log = self.jobs / f"{name}.status", self.jobs / f"{name}.log"
        deadline = time.monotonic() + seconds
        while not status.exists() and time.monotonic() < deadline:
            time.sleep(0.5)
        if log.exists():
            print(log.read_text(encoding="utf-8", errors="replace"), end="", flush=True)
        return int(status.read_text(encoding="ascii")) if status.exists() else RUNNING

    def down(self) -> int:
        """End systemd, and with it every process of the box."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return 0


def _is_init(status: str) -> bool:
    """Whether /proc/PID/status is that of the first process of a namespace below this one."""
    (line,) = [line for line in status.splitlines() if line.startswith("NSpid:")] or [""]
    return line.split()[-1:] == ["1"] and len(line.split()) > 2


def main(arguments: list[str]) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kit", type=Path, default=Path("/kit"), help="the directory that make_kit wrote")
    parser.add_argument("verb", choices=["up", "run", "play", "start", "wait", "down"])
    parser.add_argument("words", nargs=argparse.REMAINDER)
    asked = parser.parse_args(arguments)
    box, words = Box(asked.kit.resolve()), asked.words
    needed = {"run": 1, "play": 1, "start": 2, "wait": 2}.get(asked.verb, 0)
    if len(words) < needed:
        parser.error(f"{asked.verb} needs {needed} more words; see --help")
    if os.geteuid() != 0:
        parser.error("it needs root")
    if asked.verb == "up":
        return box.up()
    if asked.verb == "run":
        return subprocess.run(box.inside(words), check=False).returncode
    if asked.verb == "play":
        return subprocess.run(box.inside(box.playing(words)), check=False).returncode
    if asked.verb == "start":
        return box.start(words[0], words[1:])
    if asked.verb == "wait":
        return box.wait(words[0], float(words[1]))
    return box.down()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
