# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do one thing to a service on this host and tell how long which services did not answer.

``fault.py FAULT SERVICE --services mini=8002,micro=8003`` runs as root on a host where the services run. It asks every
service for a token twice a second, has long requests under way, does what FAULT says, waits until all services answer
again, and prints JSON. Standard library alone.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

LONG_REQUESTS, LONG_TOKENS = 4, 1500
QUIET = 20  # seconds without a failure after which nothing was lost
GIB = 1 << 30
HURT: dict[str, bool] = {}  # of the faults that wait for it: whether the service failed


def systemctl(*words: str) -> str:
    """Run systemctl and return what it prints."""
    return subprocess.run(["systemctl", *words], check=False, capture_output=True, text=True).stdout


def unit(service: str) -> str:
    return f"vllm@{service}.service"


def property_of(service: str, name: str) -> str:
    return systemctl("show", unit(service), "-P", name).strip()


def processes(service: str) -> dict[int, str]:
    """Return the title of every process of a service."""
    group = Path("/sys/fs/cgroup") / property_of(service, "ControlGroup").lstrip("/")
    found = {}
    for file in group.rglob("cgroup.procs"):
        for pid in file.read_text(encoding="ascii").split():
            with contextlib.suppress(OSError):
                title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(pid)] = title.strip()
    return found


def complete(port: int, tokens: int, timeout: float) -> bool:
    """Whether a service generates so many tokens in time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", "/v1/models")
        models = json.loads(connection.getresponse().read())
        body = {"model": models["data"][0]["id"], "prompt": "The quick", "max_tokens": tokens, "ignore_eos": True}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        return response.status == 200 and answer["usage"]["completion_tokens"] == tokens
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Prober:
    """Asks one service for a token twice a second and keeps when it answered and when not."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self.seen: list[tuple[float, bool]] = []
        self._thread = threading.Thread(target=self._probe, daemon=True)
        self._thread.start()

    def _probe(self) -> None:
        while not self._stop.wait(0.5):
            began = time.time()
            good = complete(self._port, 1, timeout=10)
            self.seen.append((began, good))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(12)

    def outage(self, since: float) -> dict[str, Any]:
        """Return the seconds from the first failure to the next answer, all counted from ``since``."""
        failed = [when for when, good in self.seen if when >= since and not good]
        if not failed:
            return {"failed_probes": 0, "first_failure_s": None, "answers_again_s": None}
        again = [when for when, good in self.seen if good and when > max(failed)]
        return {
            "failed_probes": len(failed),
            "first_failure_s": round(failed[0] - since, 1),
            "answers_again_s": round(again[0] - since, 1) if again else None,
        }


def kill(words: tuple[str, ...]) -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """Return a fault: kill -9 of the first process of the service with one of these words in its title."""

    @contextlib.contextmanager
    def fault(service: str) -> Iterator[None]:
        if words:
            (victim, *_others) = [pid for pid, title in processes(service).items() if any(w in title for w in words)]
        else:
            victim = int(property_of(service, "MainPID"))
        os.kill(victim, signal.SIGKILL)
        yield

    return fault


@contextlib.contextmanager
def restart(service: str) -> Iterator[None]:
    """Restart one service, or all of them."""
    systemctl("restart", "--no-block", "vllm.target" if service == "all" else unit(service))
    yield


def wait_until_hurt(service: str, limit: float) -> bool:
    """Wait until systemd has seen a service fail; return whether it did within ``limit`` seconds."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if property_of(service, "NRestarts") != "0" or property_of(service, "Result") != "success":
            return True
        time.sleep(0.5)
    return False


@contextlib.contextmanager
def memory_limit(service: str) -> Iterator[None]:
    """Restart a service with too little host memory and wait until the kernel has killed it; then lift the limit."""
    systemctl("set-property", "--runtime", unit(service), "MemoryMax=1G", "MemorySwapMax=0")
    systemctl("restart", "--no-block", unit(service))
    HURT[service] = wait_until_hurt(service, 120)
    systemctl("set-property", "--runtime", unit(service), "MemoryMax=infinity")
    yield


@contextlib.contextmanager
def foreign_memory(service: str) -> Iterator[None]:
    """Restart a service while another process holds all of its GPU that is free; let go after 45 seconds."""
    systemctl("stop", unit(service))
    cuda = ctypes.CDLL("libcuda.so.1")
    context, pointer = ctypes.c_void_p(), ctypes.c_uint64()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    device = int(os.environ.get("FAULT_GPU", "0"))
    for status in (
        cuda.cuInit(0),
        cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device),
        cuda.cuCtxSetCurrent(context),
        cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)),
        cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(free.value // 2)),
    ):
        if status:
            raise RuntimeError(f"CUDA refused with error {status}; {free.value / GIB:.1f} GiB were free")
    systemctl("start", "--no-block", unit(service))
    time.sleep(45)
    cuda.cuMemFree_v2(pointer)
    cuda.cuDevicePrimaryCtxRelease_v2(device)
    yield


@contextlib.contextmanager
def no_compiler(service: str) -> Iterator[None]:
    """Start a service with empty caches where there is no C compiler; bring it back when the service has failed."""
    names = [Path(found) for found in map(shutil.which, ("cc", "gcc", "clang")) if found]
    hidden = [(path, path.with_name(path.name + ".hidden")) for path in names]
    systemctl("stop", unit(service))
    cache = Path("/var/cache/vllm") / service
    kept = cache.with_name(f".{service}.kept")
    shutil.move(cache, kept)
    cache.mkdir()
    shutil.copystat(kept, cache)
    os.chown(cache, kept.stat().st_uid, kept.stat().st_gid)
    for path, other in hidden:
        path.rename(other)
    systemctl("start", "--no-block", unit(service))
    HURT[service] = wait_until_hurt(service, 200)
    for path, other in hidden:
        other.rename(path)
    yield
    shutil.rmtree(kept)


@contextlib.contextmanager
def full_shared_memory(service: str) -> Iterator[None]:
    """Start a service with a /dev/shm that has no room left; empty it when the service has failed."""
    systemctl("stop", unit(service))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/dev/shm"], check=True)
    with contextlib.suppress(OSError):
        Path("/dev/shm/full").write_bytes(bytes(1 << 20))
    systemctl("start", "--no-block", unit(service))
    HURT[service] = wait_until_hurt(service, 200)
    subprocess.run(["umount", "/dev/shm"], check=True)
    yield


def revive(service: str) -> str:
    """Start a service that systemd has given up; return in which state it was."""
    state = property_of(service, "ActiveState")
    if state in ("failed", "inactive"):
        systemctl("reset-failed", unit(service))
        systemctl("start", "--no-block", unit(service))
    return state


FAULTS: dict[str, Callable[[str], contextlib.AbstractContextManager[None]]] = {
    "kill-core": kill(("EngineCore",)),
    "kill-rank": kill(("Worker",)),
    "kill-api-server": kill(()),
    "restart": restart,
    "memory-limit": memory_limit,
    "foreign-memory": foreign_memory,
    "no-compiler": no_compiler,
    "full-shared-memory": full_shared_memory,
}


def commit(asked: argparse.Namespace, services: dict[str, int]) -> dict[str, Any]:
    """Do it, wait, and return what was lost and for how long."""
    probers = {name: Prober(port) for name, port in services.items()}
    time.sleep(2)
    lost: dict[str, list[bool]] = {name: [] for name in services}
    threads = []
    for name, port in services.items():
        for _number in range(LONG_REQUESTS):
            job = threading.Thread(
                target=lambda n=name, p=port: lost[n].append(complete(p, LONG_TOKENS, 120)), daemon=True
            )
            job.start()
            threads.append(job)
    time.sleep(1.5)
    restarts = {name: property_of(name, "NRestarts") for name in services}
    since = time.time()
    with FAULTS[asked.fault](asked.service):
        done = round(time.time() - since, 1)
        states = {name: revive(name) for name in services}
        deadline = time.monotonic() + asked.limit
        while time.monotonic() < deadline and not all(_settled(probe, since) for probe in probers.values()):
            time.sleep(0.5)
    for probe in probers.values():
        probe.stop()
    for job in threads:
        job.join(1)
    return {
        "fault": asked.fault,
        "service": asked.service,
        "at": since,
        "fault_lasted_s": done,
        "service_failed": HURT.get(asked.service),
        "services": {
            name: {
                **probers[name].outage(since),
                "requests_under_way": LONG_REQUESTS,
                "requests_completed": sum(lost[name]),
                "restarts_before": restarts[name],
                "restarts_after": property_of(name, "NRestarts"),
                "state": property_of(name, "ActiveState"),
                "state_after_fault": states[name],
                "result": property_of(name, "Result"),
            }
            for name in services
        },
    }


def _settled(probe: Prober, since: float) -> bool:
    """Whether a service has answered twice since its last failure, or has not failed for a while."""
    after = [good for when, good in list(probe.seen) if when >= since]
    if all(after):
        return time.time() - since > QUIET
    return after[-2:] == [True, True]


def main(arguments: list[str]) -> int:
    """Read the command line, do it, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fault", choices=list(FAULTS))
    parser.add_argument("service", help="its name; of restart also: all")
    parser.add_argument("--services", required=True, help="NAME=PORT of all that share the host, with commas between")
    parser.add_argument("--limit", type=float, default=240, help="seconds until all must answer again")
    asked = parser.parse_args(arguments)
    services = {name: int(port) for name, port in (item.split("=") for item in asked.services.split(","))}
    if asked.service not in services and not (asked.fault == "restart" and asked.service == "all"):
        parser.error(f"{asked.service} is not one of {', '.join(services)}")
    if os.geteuid() != 0:
        parser.error("it needs root on the host")
    print(json.dumps(commit(asked, services)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
