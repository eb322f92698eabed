# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of two hosts behind a gateway, each made while clients ask without a pause; none of them may notice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from testinfra import get_host
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = ROOT / "molecule" / "upgrade" / "inventory.yml"
URL = "http://10.89.96.24:8080/v1"
KEY = "a-constant-load-0123456789abcdef0123456789abcdef"
HOSTS = ("upgrade-a", "upgrade-b")
MINI = "small/qwen3-mini"
FETCHED = "/var/lib/vllm/models/next"
# How a test names a figure of its run, which the runner of the tests prints.
Told = Callable[[str, object], None]
# Seconds between two requests of each of the four clients: twice as many keep two cores from starting an engine.
INTERVAL = 1.0
# A play that hangs must not hang the tests.
PLAY_SECONDS = 1800


@contextlib.contextmanager
def load(directory: Path) -> Iterator[dict[str, Any]]:
    """A constant load for the time of a block; afterwards the yielded dictionary holds its result."""
    result: dict[str, Any] = {}
    file = directory / "load.json"
    command = [sys.executable, str(ROOT / "tests/testbed/steady_load.py"), f"--url={URL}", "--model=mini"]
    command += [f"--interval={INTERVAL}", f"--result={file}"]
    process = subprocess.Popen(command, env={**os.environ, "LOAD_API_KEY": KEY})
    try:
        time.sleep(3)
        yield result
        time.sleep(3)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=130)
    result.update(json.loads(file.read_text()))


def play(playbook: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    command = ["ansible-playbook", f"--inventory={INVENTORY}", str(ROOT / playbook)]
    return subprocess.run(
        [*command, "--extra-vars", json.dumps(variables)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PLAY_SECONDS,
    )


def deployed(name: str) -> dict[str, Any]:
    """What a host serves now: the number of its generation and the engine's process."""
    host: Host = get_host(f"podman://{name}")
    return {
        "generation": host.file("/etc/vllm/current").linked_to,
        "main_pid": host.check_output("systemctl show --property=MainPID --value vllm@mini.service"),
        "configuration": host.file("/etc/vllm/current/services/mini/engine.yaml").content_string,
    }


def times(host: Host) -> tuple[int, int]:
    """When the engine before stopped serving and when the one of now began to, as Unix times."""
    command = "systemctl show --timestamp=unix --property=ActiveExitTimestamp,ActiveEnterTimestamp vllm@mini.service"
    shown = dict(line.split("=@") for line in host.check_output(command).splitlines())
    return int(shown["ActiveExitTimestamp"]), int(shown["ActiveEnterTimestamp"])


def told(result: dict[str, Any]) -> str:
    """What a load came to, for the report of the run."""
    seconds = result["ended"] - result["started"]
    return (
        f"{result['requests']} requests in {seconds:.0f} s, {len(result['failures'])} failed, "
        f"slowest {result['slowest']:.2f} s"
    )


def test_a_rolling_change_under_load_loses_no_request(tmp_path: Path, record_property: Told) -> None:
    """Weights come while every engine serves; then one host changes, and the next one when the first serves again."""
    before = [deployed(name) for name in HOSTS]
    with load(tmp_path) as result:
        done = play("site.yml", seqs=12, model=FETCHED, vllm_models_list=[{"name": "next", "repo_id": MINI}])
    record_property("rolling change under load", told(result))
    assert done.returncode == 0, done.stdout
    after = [deployed(name) for name in HOSTS]
    assert all("max-num-seqs: 12" in host["configuration"] for host in after)
    assert all(f'model: "{FETCHED}"' in host["configuration"] for host in after)
    assert all(new["main_pid"] != old["main_pid"] for new, old in zip(after, before))
    hosts: list[Host] = [get_host(f"podman://{name}") for name in HOSTS]
    fetched = [int(host.check_output(f"stat --format=%Z {FETCHED}/model.safetensors")) for host in hosts]
    (first_stopped, first_served), (second_stopped, _served) = map(times, hosts)
    assert max(fetched) <= first_stopped, "weights were fetched before anything stopped"
    assert first_served <= second_stopped, "the second host served until the first one served again"
    assert result["failures"] == []
    assert result["requests"] > 100


def test_a_change_that_fails_under_load_loses_no_request_and_stops_at_its_first_host(
    tmp_path: Path, record_property: Told
) -> None:
    before = [deployed(name) for name in HOSTS]
    with load(tmp_path) as result:
        done = play("site.yml", seqs=12, model=FETCHED, tokenizer={"tokenizer": "/srv/nothing"})
    record_property("failed change under load", told(result))
    assert done.returncode != 0
    assert "service 'mini' did not pass its gate" in done.stdout + done.stderr
    after = [deployed(name) for name in HOSTS]
    assert [host["generation"] for host in after] == [host["generation"] for host in before]
    assert after[1]["main_pid"] == before[1]["main_pid"], "the second host was not to be touched"
    assert result["failures"] == []
    assert result["requests"] > 100


def test_a_run_that_changes_nothing_restarts_nothing() -> None:
    before = [deployed(name) for name in HOSTS]
    done = play("site.yml", seqs=12, model=FETCHED)
    assert done.returncode == 0, done.stdout
    assert [deployed(name) for name in HOSTS] == before
