# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two real engines under load, one of which dies, and a GPU with an Xid error, as Prometheus sees them.

The first test makes all of that happen; those after it look at what came of it.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

MONITORED = testinfra.get_host("podman://monitored")
MONITOR = testinfra.get_host("podman://monitor")
SCENARIO = Path(__file__).resolve().parents[1]
ROOT = SCENARIO.parents[1]
ENGINE_HOST = "10.89.96.61"
RELAY_PORT, GPU_PORT, METRICS_PORT, ENGINE_PORT = 9138, 9139, 8406, 8002
ENGINE_KEY, ALICE = "canary-of-the-monitored-5d0e", "canary-of-alice-0123456789abcdef0123456789abcdef"
# An engine is back, and everything about it scraped, within this time of its end.
BACK_SECONDS = 120
# A kernel's line as the journal keeps it.
XID = "NVRM: Xid (PCI:0000:65:00): 48, pid=4242, name=VLLM::EngineCor, Double Bit ECC Error"

# Some short completions of each engine: by the gateway, and by the unix socket.
LOAD = f"""
import concurrent.futures, http.client, json, socket, ssl
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX); self.sock.connect("/run/vllm/micro/api.sock")
def ask(number):
    tls = http.client.HTTPSConnection("127.0.0.1", 8443, context=ssl._create_unverified_context(), timeout=60)
    for connection, model in ((tls, "mini"), (Unix("localhost", timeout=60), "Qwen/micro")):
        body = json.dumps({{"model": model, "prompt": "Monday", "max_tokens": 32, "ignore_eos": True}})
        headers = {{"Content-Type": "application/json", "Authorization": "Bearer {ALICE}"}}
        connection.request("POST", "/v1/completions", body, headers)
        answer = connection.getresponse()
        assert answer.status == 200, (model, answer.status, answer.read())
        answer.read()
list(concurrent.futures.ThreadPoolExecutor(8).map(ask, range(24)))
"""
QUERY = """
import json, sys, urllib.parse, urllib.request
def get(path):
    return json.load(urllib.request.urlopen("http://127.0.0.1:9090/api/v1/" + path, timeout=20))["data"]
print(json.dumps([get(path) for path in json.loads(sys.argv[1])]))
"""


def prometheus(*paths: str) -> list[Any]:
    """What Prometheus' API answers to these paths, asked where it listens."""
    return list(json.loads(MONITOR.run_expect([0], f"python3 -c {_quoted(QUERY)} {_quoted(json.dumps(paths))}").stdout))


def results(*expressions: str) -> list[list[dict[str, Any]]]:
    """The vectors that these expressions are now."""
    paths = [f"query?query={_encoded(expression)}" for expression in expressions]
    return [found["result"] for found in prometheus(*paths)]


def _encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def wait_until(what: str, check: Any, seconds: float) -> float:
    """Return after how many seconds it was so; fail after so many."""
    began = time.monotonic()
    while problem := check():
        assert time.monotonic() - began < seconds, f"not within {seconds:.0f} s: {what}: {problem}"
        time.sleep(2)
    return time.monotonic() - began


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def generate() -> None:
    MONITORED.check_output(f"python3 -c {_quoted(LOAD)}")


def write_to_the_kernels_journal(line: str) -> None:
    """Put a line into the host's journal as one of its kernel; a container has no kernel log of its own."""
    machine = MONITORED.check_output("cat /etc/machine-id")
    fields = {
        "__REALTIME_TIMESTAMP": time.time_ns() // 1000,
        "__MONOTONIC_TIMESTAMP": time.monotonic_ns() // 1000,
        "_BOOT_ID": MONITORED.check_output("tr -d - < /proc/sys/kernel/random/boot_id"),
        "_MACHINE_ID": machine,
        "_TRANSPORT": "kernel",
        "PRIORITY": 4,
        "MESSAGE": line,
    }
    entry = "".join(f"{name}={value}\n" for name, value in fields.items()) + "\n"
    remote = (
        f"/lib/systemd/systemd-journal-remote --output=/var/log/journal/{machine}/kernel.journal --split-mode=none -"
    )
    MONITORED.check_output(f"echo {_base64(entry)} | base64 --decode | {remote}")


def test_two_engines_work_one_dies_and_a_gpu_errs() -> None:
    targets = {
        ("host", "monitored", None, None),
        ("vllm", "monitored", "mini", "mini"),
        ("vllm", "monitored", "micro", "Qwen/micro"),
        ("gpu", "monitored", None, None),
        ("gateway", "monitored", None, None),
        ("gateway-probe", "monitored", None, None),
        ("prometheus", "monitor", None, None),
    }

    def all_up() -> Any:
        (found,) = prometheus("targets?state=active")
        active = [(target["labels"], target["health"], target["lastError"]) for target in found["activeTargets"]]
        known = {tuple(labels.get(key) for key in ("job", "host", "service", "model")) for labels, *_rest in active}
        return (known ^ targets) or [problem for _labels, health, problem in active if health != "up"]

    print(f"all up after {wait_until('all targets are up', all_up, 60):.0f} s")
    generate()
    core = MONITORED.check_output("pgrep --parent $(systemctl show --value -p MainPID vllm@micro) VLLM::Engine")
    MONITORED.check_output(f"kill -KILL {core}")
    write_to_the_kernels_journal(XID)


# ---- while that engine comes back


@pytest.mark.parametrize("unit", ["vllm-metrics", "vllm-metrics-look", "vllm-gpu-exporter"])
def test_units_on_the_engine_host_are_sandboxed(unit: str) -> None:
    assert exposure(MONITORED, unit) <= 1.7


@pytest.mark.parametrize("unit", ["prometheus", "prometheus-blackbox-exporter"])
def test_units_on_the_monitoring_host_are_sandboxed(unit: str) -> None:
    assert exposure(MONITOR, unit) <= 1.7


def exposure(host: Host, unit: str) -> float:
    summary = str(host.check_output(f"systemd-analyze security --no-pager {unit}.service").splitlines()[-1])
    print(summary)
    return float(summary.partition(": ")[2].split()[0])


def connects(host: Host, port: int) -> bool:
    program = f"import socket; socket.create_connection(('{ENGINE_HOST}', {port}), timeout=2).sendall(b'x')"
    return bool(host.run(f'python3 -c "{program}"').rc == 0)


def test_prometheus_reaches_the_relay_and_the_gateways_metrics_and_nothing_else_of_the_host() -> None:
    ports = {port: connects(MONITOR, port) for port in (RELAY_PORT, METRICS_PORT, GPU_PORT, ENGINE_PORT)}
    assert ports == {RELAY_PORT: True, METRICS_PORT: True, GPU_PORT: False, ENGINE_PORT: False}


@pytest.mark.parametrize("port", [RELAY_PORT, METRICS_PORT])
def test_nobody_else_gets_an_answer(port: int) -> None:
    # From this machine, which the hosts' network has as well.
    answer = b""
    try:
        with socket.create_connection((ENGINE_HOST, port), timeout=2) as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            answer = connection.recv(1)
    except OSError:
        pass
    assert answer == b""


def test_the_relay_gives_metrics_and_no_way_to_an_engine() -> None:
    program = (
        "import http.client, sys; c = http.client.HTTPConnection('{host}', {port}, timeout=10);"
        " c.request('{method}', '{path}', body='{{}}'); a = c.getresponse(); print(a.status, len(a.read()))"
    )

    def ask(path: str, method: str = "GET") -> int:
        filled = program.format(host=ENGINE_HOST, port=RELAY_PORT, method=method, path=path)
        return int(MONITOR.check_output(f'python3 -c "{filled}"').split()[0])

    assert (ask("/engines/mini"), ask("/metrics"), ask("/gpus"), ask("/targets")) == (200, 200, 200, 200)
    for path in ("/invocations", "/engines/mini/invocations", "/engines/mini/../../invocations", "/v1/models"):
        assert ask(path) == 404
    assert ask("/engines/mini", "POST") == 501


def test_no_secret_and_no_command_line_is_in_what_is_told() -> None:
    program = (
        "import urllib.request as u; [print(u.urlopen("
        f"'http://{ENGINE_HOST}:{RELAY_PORT}' + path, timeout=10).read().decode())"
        " for path in ('/targets', '/metrics', '/gpus', '/engines/mini')]"
    )
    told = MONITOR.check_output(f'python3 -c "{program}"')
    assert 'llmops_service_info{service="mini"' in told
    assert ENGINE_KEY not in told
    assert "engine.yaml" not in told
    everywhere = "/etc/vllm-metrics /run/vllm-metrics /var/lib/vllm-metrics /usr/local/lib/vllm-metrics"
    assert MONITORED.run(f"grep --recursive --text {ENGINE_KEY} {everywhere}").stdout == ""
    assert MONITOR.run(f"grep --recursive --text {ENGINE_KEY} /etc/prometheus").stdout == ""


def test_what_measures_is_small() -> None:
    for unit, most_mib in (("vllm-metrics", 64), ("vllm-gpu-exporter", 128)):
        pid = MONITORED.check_output(f"systemctl show --value -p MainPID {unit}")
        fields = MONITORED.check_output(f"grep -E 'RssAnon|VmRSS' /proc/{pid}/status").split()
        print(f"{unit}: {fields}")
        assert int(fields[1]) < most_mib * 1024


def test_how_long_data_and_journal_are_kept() -> None:
    (flags,) = prometheus("status/flags")
    assert flags["storage.tsdb.retention.time"] == "30d"
    assert flags["storage.tsdb.retention.size"] == "20GiB"
    for host in (MONITORED, MONITOR):
        shown = host.check_output("systemd-analyze cat-config systemd/journald.conf")
        assert re.findall(r"^(SystemMaxUse|MaxRetentionSec)=(.+)$", shown, re.MULTILINE) == [
            ("SystemMaxUse", "4G"),
            ("MaxRetentionSec", "14day"),
        ]
    # It was restarted for that, with the engines' output open: this is what mini has written since.
    assert "POST /v1/completions" in MONITORED.check_output("journalctl --unit=vllm@mini --output=cat --lines=200")


def test_alerts_fire_when_they_should_and_not_else() -> None:
    cases = _base64((SCENARIO / "tests" / "alerts.yml").read_text())
    MONITOR.check_output(f"echo {cases} | base64 --decode > /tmp/alerts.yml && cp /etc/prometheus/vllm.rules.yml /tmp/")
    assert "SUCCESS" in MONITOR.check_output("cd /tmp && promtool test rules alerts.yml")


def play(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["ansible-playbook", f"--inventory={SCENARIO / 'inventory.yml'}", "--limit=monitor", *arguments]
    return subprocess.run(
        [*command, str(ROOT / "playbooks" / "monitoring.yml")], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_configuration_that_is_none_changes_nothing() -> None:
    before = MONITOR.check_output("sha256sum /etc/prometheus/*.yml")
    started = MONITOR.check_output("systemctl show --value -p MainPID prometheus")
    ran = play("--extra-vars", json.dumps({"vllm_monitoring_alertmanagers": ["http://no.address"]}))
    assert ran.returncode != 0
    assert "no.address" in ran.stdout + ran.stderr  # failures are told on the second
    assert MONITOR.check_output("sha256sum /etc/prometheus/*.yml") == before

    # By hand, too: what serves goes on.
    MONITOR.check_output("cp /etc/prometheus/prometheus.yml /tmp/ && echo nonsense >> /etc/prometheus/prometheus.yml")
    assert MONITOR.run("systemctl reload prometheus").rc != 0
    MONITOR.check_output("cp /tmp/prometheus.yml /etc/prometheus/prometheus.yml && systemctl reload prometheus")
    assert MONITOR.check_output("systemctl show --value -p MainPID prometheus") == started
    assert MONITOR.check_output("sha256sum /etc/prometheus/*.yml") == before


def test_a_check_says_that_there_is_nothing_to_do() -> None:
    ran = play("--check", "--diff")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^monitor .*changed=0 ", ran.stdout, re.MULTILINE), ran.stdout


# ---- when it is back


def test_the_end_of_the_engine_and_the_error_of_the_gpu_are_counted() -> None:
    def counted() -> Any:
        died, erred = "{service='micro', kind='engine_dead'}", "{kind='xid'}"
        incidents = f"llmops_incidents_total{died} == 1 or llmops_incidents_total{erred} == 1"
        found = results(incidents, "llmops_service_restarts_total{service='micro'} == 1", "up{service='micro'} == 1")
        return [] if [len(rows) for rows in found] == [2, 1, 1] else found

    print(f"counted, and serving again, after {wait_until('both are counted', counted, BACK_SECONDS):.0f} s")
    generate()


def test_the_alert_of_the_gpu_fires_and_names_its_host() -> None:
    def fires() -> Any:
        (found,) = prometheus("alerts")
        known = {(one["labels"]["alertname"], one["labels"].get("host"), one["state"]) for one in found["alerts"]}
        return [] if ("GpuXid", "monitored", "firing") in known else known

    wait_until("GpuXid fires", fires, 30)


def dashboard_queries() -> dict[str, str]:
    """Every query of the dashboard by its panel, for all hosts and services."""
    panels = json.loads((ROOT / "roles" / "vllm_monitoring" / "files" / "vllm-dashboard.json").read_text())["panels"]
    queries = {}
    for panel in panels:
        for target in panel.get("targets", []):
            text = target["expr"].replace("$__rate_interval", "2m").replace("$host", ".*").replace("$service", ".*")
            queries[f"{panel['title']} {target['refId']}"] = text
    return queries


def alert_selectors() -> dict[str, str]:
    """Every series that a rule reads. An alert's own expression is empty as long as all is well.

    DCGM's exporter is not here, and the host reports NUMA nodes only where engines run on them.
    """
    text = MONITOR.check_output("cat /etc/prometheus/vllm.rules.yml")
    expressions = re.findall(r"expr: (\|\n(?: {10,}.*\n)+|.*\n)", text)
    pattern = re.compile(r'(?<![\w:"$])(?:vllm:|llmops[:_]|gpu_|haproxy_|probe_|prometheus_|up\b)[\w:]*(?:\{[^}]*\})?')
    found = {selector for expression in expressions for selector in pattern.findall(expression)}
    found -= {"llmops_device_used_bytes"}
    return {selector: selector for selector in found}


def test_no_query_is_empty() -> None:
    queries = {**dashboard_queries(), **alert_selectors()}
    assert len(dashboard_queries()) >= 30
    assert len(alert_selectors()) >= 20

    def empty() -> Any:
        found = dict(zip(queries, results(*queries.values())))
        values = {name: [row["value"][1] for row in rows] for name, rows in found.items()}
        return {name: queries[name] for name, row in values.items() if not row or set(row) <= {"NaN"}}

    print(f"{len(queries)} queries answer after {wait_until('every query answers', empty, 60):.0f} s")


def test_every_rule_is_evaluated_without_error() -> None:
    (found,) = prometheus("rules")
    rules = [rule for group in found["groups"] for rule in group["rules"]]
    assert len(rules) >= 20
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
