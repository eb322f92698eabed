# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Admission to a device: one start at a time, enough memory first, and a lock that never outlives its holder."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import socket
import subprocess
from pathlib import Path
from typing import Callable

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Gpu, Health, Topology
from ansible_collections.llmops.inference.plugins.module_utils._guard import guard
from ansible_collections.llmops.inference.plugins.module_utils._host.network import clear_socket
from ansible_collections.llmops.inference.plugins.module_utils._service.ticket import Ticket

GIB = 1 << 30


def ticket(service: str, port: int, *devices: str, gib: int = 1, start_timeout: int = 0) -> Ticket:
    return Ticket(
        service=service,
        model=service,
        host="127.0.0.1",
        port=port,
        required_free_bytes=dict.fromkeys(devices, gib * GIB),
        start_timeout=start_timeout,
        neighbours=0,
        digest=f"digest of {service}",
    )


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of two devices with 2 GiB free on each, on which every holder of a lock is still starting."""
    for directory in ("locks", "mini", "micro", "medium"):
        (tmp_path / directory).mkdir()
    monkeypatch.setattr(guard, "RUNTIME_DIRECTORY", tmp_path)
    monkeypatch.setattr(guard, "started_path", lambda service: tmp_path / service / "started.json")
    monkeypatch.setattr(guard, "free_device_bytes", lambda: {"GPU-a": 2 * GIB, "GPU-b": 2 * GIB})
    monkeypatch.setattr(guard, "read_topology", Topology)
    monkeypatch.setattr(guard, "_is_starting", lambda service: True)
    monkeypatch.setattr(guard, "_POLL_SECONDS", 0.01)
    return tmp_path


def locks(host: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (host / "locks").iterdir() if path.name != "registry"}


def test_a_start_holds_all_its_devices_and_says_what_it_was_started_with(host: Path, port: int) -> None:
    guard.admit(ticket("medium", port, "GPU-a", "GPU-b"))
    assert locks(host) == {"GPU-a": "medium", "GPU-b": "medium"}
    assert "digest of medium" in (host / "medium/started.json").read_text()


def test_an_engine_that_ends_before_it_listens_is_waited_for_no_longer(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "0.1"]) as engine:
        monkeypatch.setenv("MAINPID", str(engine.pid))
        engine.wait()
    with pytest.raises(InferenceError, match="engine of service 'mini' ended before it listened"):
        guard.ready(ticket("mini", port))


def test_a_neighbour_waits_while_the_device_is_held_and_then_gives_up_naming_the_holder(host: Path, port: int) -> None:
    guard.admit(ticket("mini", port, "GPU-b"))
    with pytest.raises(InferenceError, match="'mini' is starting on GPU-b"):
        guard.admit(ticket("medium", port, "GPU-a", "GPU-b"))
    assert locks(host) == {"GPU-b": "mini"}, "all devices or none"


def test_the_next_start_is_admitted_once_the_holder_lets_go(host: Path, port: int) -> None:
    guard.admit(ticket("mini", port, "GPU-b"))
    guard.release(ticket("mini", port))
    guard.admit(ticket("micro", port, "GPU-b"))
    assert locks(host) == {"GPU-b": "micro"}


def test_a_lock_whose_holder_no_longer_starts_is_taken_over(
    host: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard.admit(ticket("mini", port, "GPU-b"))
    monkeypatch.setattr(guard, "_is_starting", lambda service: False)
    guard.admit(ticket("micro", port, "GPU-b"))
    assert locks(host) == {"GPU-b": "micro"}


def test_release_frees_nothing_of_others(host: Path, port: int) -> None:
    guard.admit(ticket("mini", port, "GPU-b"))
    guard.release(ticket("micro", port, "GPU-b"))
    assert locks(host) == {"GPU-b": "mini"}


def test_too_little_free_memory_is_refused_in_bytes_and_frees_the_device(host: Path, port: int) -> None:
    with pytest.raises(InferenceError, match=r"GPU-a has 2.00 GiB free, the engine will ask for 3.00 GiB"):
        guard.admit(ticket("mini", port, "GPU-a", gib=3))
    assert locks(host) == {}


def test_a_device_that_does_not_answer_is_not_waited_for_in_vain(port: int) -> None:
    with pytest.raises(InferenceError, match="device GPU-gone does not answer"):
        guard.admit(ticket("mini", port, "GPU-gone"))


def test_a_port_that_another_process_holds_is_found_before_the_model_is_loaded(host: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(InferenceError, match=f"cannot listen on 127.0.0.1:{taken}"):
            guard.admit(ticket("mini", taken, "GPU-a"))
    assert locks(host) == {}


def sick(status: str) -> Topology:
    return Topology(gpus=(Gpu(0, uuid="GPU-a", health=Health(status, ("uncorrectable ECC errors: 3",))),))


def with_answers(port: int, **answers: str) -> Ticket:
    return dataclasses.replace(ticket("mini", port, "GPU-a"), gpu_health=answers)


@pytest.mark.parametrize(
    ("status", "answers", "said"),
    [
        ("failed", {"failed": "warn"}, "GPU 0 (GPU-a) is failed: uncorrectable ECC errors: 3"),
        ("failed", {"failed": "ignore"}, ""),
        ("degraded", {}, "GPU 0 (GPU-a) is degraded: uncorrectable ECC errors: 3"),
        ("degraded", {"degraded": "ignore"}, ""),
        ("ok", {}, ""),
    ],
)
def test_a_gpu_that_a_layout_bears_is_admitted_with_a_warning_where_it_wants_one(
    port: int, monkeypatch: pytest.MonkeyPatch, status: str, answers: dict[str, str], said: str
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(guard, "read_topology", lambda: sick(status))
    monkeypatch.setattr(guard, "_say", warnings.append)
    guard.admit(with_answers(port, **answers))
    assert warnings == ([said] if said else [])


@pytest.mark.parametrize(("status", "answers"), [("failed", {}), ("degraded", {"degraded": "refuse"})])
def test_a_gpu_that_a_layout_does_not_bear_is_refused_with_its_reasons_and_not_held(
    host: Path, port: int, monkeypatch: pytest.MonkeyPatch, status: str, answers: dict[str, str]
) -> None:
    monkeypatch.setattr(guard, "read_topology", lambda: sick(status))
    with pytest.raises(
        InferenceError, match=r"is not fit to start: GPU 0 \(GPU-a\) is .*: uncorrectable ECC errors: 3"
    ):
        guard.admit(with_answers(port, **answers))
    assert locks(host) == {}


def test_a_sick_gpu_of_a_neighbour_is_no_obstacle(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "read_topology", lambda: sick("failed"))
    guard.admit(ticket("mini", port, "GPU-b"))


def test_too_little_shared_memory_is_found_before_the_model_is_loaded(
    host: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_SHARED_MEMORY_BYTES", 1 << 60)
    with pytest.raises(InferenceError, match=r"/dev/shm has \d+ MiB free, the engine will take"):
        guard.admit(ticket("mini", port, "GPU-a"))
    assert locks(host) == {}


def test_a_socket_that_nobody_listens_on_is_removed_and_one_that_serves_is_not(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    assert clear_socket(str(path)) is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert f"cannot listen on {path}" in str(clear_socket(str(path)))
    assert clear_socket(str(path)) is None
    assert not path.exists()


@pytest.mark.parametrize("spoil", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "link"])
def test_a_registry_that_a_service_has_spoilt_blocks_nobody(
    host: Path, port: int, spoil: Callable[[Path], None]
) -> None:
    guard.admit(ticket("mini", port, "GPU-a"))
    (host / "locks/registry").unlink()
    spoil(host / "locks/registry")
    guard.release(ticket("mini", port, "GPU-a"))
    assert locks(host) == {}


def test_a_registry_that_stays_taken_ends_the_wait_with_its_reason(
    host: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_REGISTRY_SECONDS", 0.2)
    with (host / "locks/registry").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InferenceError, match="has been locked for 0 s by another process"):
            guard.release(ticket("mini", port, "GPU-a"))


def test_a_lock_that_is_no_file_is_nobodys(host: Path, port: int) -> None:
    os.mkfifo(host / "locks/GPU-b")
    guard.release(ticket("mini", port, "GPU-a"))
    assert (host / "locks/GPU-b").exists()
