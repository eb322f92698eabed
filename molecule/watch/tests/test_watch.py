# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of real engines, one after the other: what was lost, how long, and what is said of it afterwards.

The tests run in the order in which they stand here; each leaves two services that serve.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["podman://watch"]

SCENARIO = Path(__file__).parents[1]
CANARY = "canary-7c31"
SOCKET = "/run/vllm/micro/api.sock"
# An engine is back within this time of its end: two starts, one after the other on the one device.
BACK_SECONDS = 300
# Of the watchdogs here: two looks of at most 22 s each (metrics, token, metrics, health), and two pauses of 5 s.
NOTICED_SECONDS = 60
DROP_IN = "/run/systemd/system/vllm@micro.service.d/50-fault.conf"


def property_of(host: Host, service: str, name: str) -> str:
    return str(host.check_output(f"systemctl show --value --property={name} vllm@{service}"))


def main_pid(host: Host, service: str) -> str:
    return property_of(host, service, "MainPID")


def engine_core(host: Host, service: str) -> str:
    return str(host.check_output(f"pgrep --parent {main_pid(host, service)} VLLM::Engine"))


def now(host: Host) -> float:
    return float(host.check_output("date +%s.%N"))


def wait_until(what: str, check: Callable[[], bool], seconds: float) -> float:
    """Return after how many seconds it was so; fail after so many."""
    began = time.monotonic()
    while not check():
        assert time.monotonic() - began < seconds, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)
    return time.monotonic() - began


def serves_again(host: Host, service: str, invocation: str, seconds: float = BACK_SECONDS) -> float:
    """Wait for another start of a service to have generated its first token."""

    def back() -> bool:
        shown = host.check_output(f"systemctl show --property=ActiveState,InvocationID vllm@{service}").split()
        return "ActiveState=active" in shown and f"InvocationID={invocation}" not in shown

    return wait_until(f"{service} serves again", back, seconds)


def look(since: float) -> dict[str, Any]:
    """What vllm_deployment_info says."""
    options = {"incidents_since": f"@{since:.0f}", "gate_timeout": 60}
    command = ["ansible", "watch", f"--inventory={SCENARIO}/inventory.yml", "--args", json.dumps(options)]
    command += ["--module-name", "llmops.inference.vllm_deployment_info"]
    env = {
        **os.environ,
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
    }
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.partition(" => ")[2])
    return found


def incidents(found: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted((incident["service"], incident["kind"]) for incident in found["incidents"])


def the(found: dict[str, Any], service: str, kind: str) -> dict[str, Any]:
    (incident,) = (one for one in found["incidents"] if (one["service"], one["kind"]) == (service, kind))
    return dict(incident)


def assert_all_serve_as_deployed(found: dict[str, Any]) -> None:
    assert (found["generation"], [one["number"] for one in found["generations"]]) == (1, [1])
    assert [(one["name"], one["healthy"], one["as_configured"]) for one in found["services"]] == [
        (one["name"], True, True) for one in found["services"]
    ], found["services"]
    assert len(found["services"]) == 2


# ---- before anything fails


def test_everything_serves_and_there_are_no_incidents(host: Host) -> None:
    found = look(now(host) - 3600)
    assert_all_serve_as_deployed(found)
    assert found["incidents"] == []
    assert {one["name"]: one["address"] for one in found["services"]} == {
        "mini": "http://127.0.0.1:8002/v1",
        "micro": f"unix:{SOCKET}",
    }


@pytest.mark.parametrize(
    "unit", ["vllm@mini", "vllm@micro", "vllm-watchdog@mini", "vllm-watchdog@micro", "vllm-recover"]
)
def test_units_are_sandboxed(host: Host, unit: str) -> None:
    summary = host.check_output(f"systemd-analyze security --no-pager {unit}.service").splitlines()[-1]
    exposure = float(summary.partition(": ")[2].split()[0])
    assert exposure <= 1.7, summary


def test_files_are_readable_by_those_who_need_them_only(host: Host) -> None:
    assert host.check_output("find /etc/vllm /run/vllm/* -not -type l -perm /o+rwx") == ""
    owners = {
        "/etc/vllm/digest.key": ("root", "root", 0o600),
        "/etc/vllm/current/services/mini/secrets": ("root", "root", 0o600),
        "/etc/vllm/current/services/mini/guard.json": ("root", "vllm", 0o640),
        "/etc/vllm/current/lib/vllm_guard": ("root", "vllm", 0o640),
        "/run/llmops-inference": ("root", "root", 0o700),
        "/run/vllm/micro": ("vllm", "vllm", 0o750),
        "/var/cache/vllm/mini": ("vllm", "vllm", 0o750),
        "/var/lib/vllm/services/mini": ("vllm", "vllm", 0o750),
        "/var/lib/vllm/watchdog/mini": ("vllm", "vllm", 0o750),
        SOCKET: ("vllm", "vllm", 0o660),
    }
    found = {path: (file.user, file.group, file.mode) for path in owners for file in [host.file(path)]}
    assert found == owners


def test_a_secret_is_in_its_file_and_in_its_services_environment_and_nowhere_else(host: Host) -> None:
    everywhere = "/etc /run /tmp /home /root /opt/vllm/tools /var/log /var/lib /var/cache /var/tmp /dev/shm"
    found = host.run(f"grep --recursive --files-with-matches --devices=skip --text {CANARY} {everywhere}")
    assert found.stdout.split() == ["/etc/vllm/generations/1/services/mini/secrets"]
    assert CANARY not in host.check_output("journalctl --no-pager --output=json --all")
    # Written so that the search does not find itself.
    pattern = f"[{CANARY[0]}]{CANARY[1:]}"
    assert host.run(f"grep --files-with-matches --text '{pattern}' /proc/[0-9]*/cmdline").stdout == ""
    assert CANARY not in host.check_output("systemctl show '*'")
    holders = host.run(f"grep --files-with-matches --text '{pattern}' /proc/[0-9]*/environ").stdout.split()
    groups = [host.run(f"cat {path.replace('environ', 'cgroup')}").stdout.strip() for path in holders]
    # A look of the watchdog may have ended meanwhile.
    units = {group.rpartition("/")[2].removesuffix(" (deleted)") for group in groups} - {""}
    assert units - {"vllm-watchdog@mini.service"} == {"vllm@mini.service"}


ASK = (
    "import http.client, socket; c = http.client.HTTPConnection('localhost'); c.sock = socket.socket(socket.AF_UNIX);"
    f" c.sock.connect('{SOCKET}'); c.request('GET', '/v1/models'); print(c.getresponse().status)"
)


def test_only_root_and_the_services_group_reach_a_socket(host: Host) -> None:
    def ask(who: str) -> str:
        ran = host.run(f'setpriv {who} --clear-groups python3 -c "{ASK}"')
        return str(ran.stdout.strip() or ran.stderr.splitlines()[-1])

    assert ask("--reuid=vllm --regid=vllm") == "200"
    assert ask("--reuid=nobody --regid=vllm") == "200", "a gateway in the group"
    assert ask("--reuid=nobody --regid=nogroup") == "PermissionError: [Errno 13] Permission denied"


def test_a_service_on_a_socket_has_no_port_at_all(host: Host) -> None:
    processes = host.check_output("cat /sys/fs/cgroup/system.slice/system-vllm.slice/vllm@micro.service/cgroup.procs")
    listeners = host.check_output("ss --no-header --listening --tcp --udp --processes")
    assert processes.split()
    assert [pid for pid in processes.split() if f"pid={pid}," in listeners] == []
    assert "127.0.0.1:8002" in listeners


# ---- a crash and a hang, at once


def test_a_killed_engine_core_and_a_wedged_engine_serve_again(host: Host) -> None:
    began = now(host)
    before = {service: property_of(host, service, "InvocationID") for service in ("mini", "micro")}
    host.check_output(f"kill -KILL {engine_core(host, 'mini')}")
    wedged = engine_core(host, "micro")
    host.check_output(f"kill -STOP {wedged}")
    noticed = wait_until("the wedged engine is gone", lambda: not host.file(f"/proc/{wedged}").exists, NOTICED_SECONDS)
    back = {service: serves_again(host, service, before[service]) for service in ("mini", "micro")}
    print(f"wedged engine noticed after {noticed:.0f} s, serving after {back}")

    found = look(began)
    assert_all_serve_as_deployed(found)
    assert incidents(found) == [("micro", "wedged"), ("mini", "engine_dead")]
    crash, hang = the(found, "mini", "engine_dead"), the(found, "micro", "wedged")
    assert "unexpectedly" in crash["line"], "one of two threads is the first to say so"
    assert "vllm-watchdog: wedged: no token in 2 looks" in hang["line"]
    assert "/health answers 200, 0 requests under way" in hang["line"]
    for incident in (crash, hang):
        assert (incident["serving"], incident["restarts"]) == (True, 1)
        assert 0 < incident["lost_seconds"] < BACK_SECONDS


# ---- a killed server whose port is stolen, and an allocation that fails


def test_a_stolen_port_and_a_failed_allocation_are_named_and_overcome(host: Host) -> None:
    began = now(host)
    before = {service: property_of(host, service, "InvocationID") for service in ("mini", "micro")}
    host.check_output(f"mkdir -p {DROP_IN.rpartition('/')[0]}")
    host.check_output(f"printf '[Service]\\nLimitDATA=2G\\n' > {DROP_IN}")
    host.check_output("systemctl daemon-reload")
    thief = "systemd-run --quiet --unit=thief --property=Restart=always --property=RestartSec=100ms "
    host.check_output(thief + "--property=StartLimitBurst=1000 python3 -m http.server --bind 127.0.0.1 8002")
    host.check_output(f"kill -KILL {main_pid(host, 'mini')} {main_pid(host, 'micro')}")

    def said(service: str, words: str) -> Callable[[], bool]:
        return lambda: words in host.check_output(f"journalctl --unit=vllm@{service} --since=@{began:.0f} --output=cat")

    wait_until("the stolen port is found", said("mini", "cannot listen on 127.0.0.1:8002"), 30)
    host.check_output("systemctl stop thief")
    wait_until("the allocation fails", said("micro", "Failed with result 'exit-code'"), BACK_SECONDS)
    host.check_output(f"rm {DROP_IN}")
    host.check_output("systemctl daemon-reload")
    back = {service: serves_again(host, service, before[service]) for service in ("mini", "micro")}
    print(f"serving after {back}")

    found = look(began)
    assert_all_serve_as_deployed(found)
    assert incidents(found) == [
        ("micro", "killed"),
        ("micro", "out_of_device_memory"),
        ("mini", "killed"),
        ("mini", "port_taken"),
    ]
    assert "code=killed, status=9/KILL" in the(found, "mini", "killed")["line"]
    assert not the(found, "mini", "port_taken")["serving"]


# ---- long work, and a hang in the middle of it


WORK = """
import concurrent.futures, os, sys, urllib.request
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["VLLM_API_KEY"]}
request = urllib.request.Request("http://127.0.0.1:8002/v1/completions", sys.argv[1].encode(), headers)
list(concurrent.futures.ThreadPoolExecutor(4).map(lambda n: urllib.request.urlopen(request).read(), range(4)))
"""


def test_an_engine_at_work_is_left_alone_until_it_stands_still(host: Host) -> None:
    began = now(host)
    invocation = property_of(host, "mini", "InvocationID")
    request = json.dumps({"model": "mini", "prompt": "Monday", "max_tokens": 8000, "ignore_eos": True})
    key = "--property=EnvironmentFile=/etc/vllm/current/services/mini/secrets"
    host.run_expect([0], f"systemd-run --quiet --unit=work {key} python3 -c %s %s", WORK, request)
    time.sleep(NOTICED_SECONDS)
    assert host.service("work").is_running, "it has to take longer than this"
    assert property_of(host, "mini", "InvocationID") == invocation
    watched = json.loads(host.check_output("cat /run/vllm/mini/watchdog.json"))
    counted = json.loads(host.check_output("cat /var/lib/vllm/watchdog/mini/requests.json"))
    assert (watched["misses"], counted["own"]) == (0, 0), "there was no token for the watchdog, and yet no miss"

    host.check_output(f"kill -STOP {engine_core(host, 'mini')}")
    back = serves_again(host, "mini", invocation)
    print(f"stopped at work, serving after {back:.0f} s")
    found = look(began)
    assert_all_serve_as_deployed(found)
    assert incidents(found) == [("mini", "wedged")]
    assert re.search(r"/health answers 200, [1-9] requests under way", the(found, "mini", "wedged")["line"])


# ---- what nobody asked for was counted


def test_rates_follow_from_what_was_counted(host: Host) -> None:
    rates = {rate["service"]: rate for rate in look(now(host) - 7200)["incident_rates"]}
    assert {name: rate["incidents"] for name, rate in rates.items()} == {"mini": 4, "micro": 3}
    assert all(rate["per_day"] is None and 0 < rate["days"] < 1 / 24 for rate in rates.values()), "too short to say"
    assert all(rate["requests"] > 0 for rate in rates.values())


def test_the_kernels_killing_for_memory_is_recognised_where_there_is_a_limit(host: Host) -> None:
    if "memory" not in host.check_output("cat /sys/fs/cgroup/cgroup.controllers").split():
        pytest.skip("this machine gives its test hosts no memory controller: MemoryMax= has no effect")
    began = now(host)
    invocation = property_of(host, "micro", "InvocationID")
    host.check_output("systemctl set-property --runtime vllm@micro MemoryMax=64M")
    wait_until("the kernel kills", lambda: property_of(host, "micro", "InvocationID") != invocation, BACK_SECONDS)
    host.check_output("systemctl set-property --runtime vllm@micro MemoryMax=infinity")
    serves_again(host, "micro", invocation)
    assert ("micro", "host_oom_kill") in incidents(look(began))
