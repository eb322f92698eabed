# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role leaves on the hosts: files, units, engines that only the gateways reach, and no secrets."""

from __future__ import annotations

import json
import socket

import pytest
from ansible_collections.llmops.inference.molecule.gateway.tests.client import (
    ALICE,
    BOB,
    ENGINE_KEY,
    HASTY,
    PROMPT,
    ask,
    body_of,
    client,
    journal,
    request,
)
from testinfra.host import Host

testinfra_hosts = ["podman://gateway", "podman://gateway-trixie"]

VERSIONS = {"gateway": "2.6.", "gateway-trixie": "3.0."}
FILES = {
    "/etc/haproxy/haproxy.cfg": ("root", "root", 0o600),
    "/etc/haproxy/vllm/probe.json": ("root", "haproxy", 0o640),
    "/etc/haproxy/vllm/request.lua": ("root", "root", 0o644),
    "/etc/haproxy/vllm/self-signed.pem": ("root", "root", 0o600),
    "/var/lib/vllm-gateway": ("root", "root", 0o700),
}


def name_of(host: Host) -> str:
    return str(host.check_output("cat /etc/hostname"))


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_read_by_those_who_need_it(host: Host, path: str) -> None:
    found = host.file(path)
    assert (found.user, found.group, found.mode) == FILES[path]


def test_it_is_debians_haproxy_without_a_warning(host: Host) -> None:
    assert host.check_output("haproxy -v").split()[2].startswith(VERSIONS[name_of(host)])
    checked = host.run("haproxy -c -f /etc/haproxy/haproxy.cfg")
    assert checked.succeeded
    assert "WARNING" not in checked.stdout + checked.stderr


@pytest.mark.parametrize("unit", ["haproxy.service", "vllm-gateway-probe.service", "vllm-gateway-probe.socket"])
def test_its_units_run_and_start_at_boot(host: Host, unit: str) -> None:
    assert host.service(unit).is_running
    assert host.service(unit).is_enabled


def test_the_probe_is_confined(host: Host) -> None:
    level = host.check_output("systemd-analyze security --no-pager vllm-gateway-probe.service | tail -1")
    assert float(level.split(":")[1].split()[0]) <= 1.7
    assert host.check_output("systemctl show --value -p User vllm-gateway-probe.service") == "haproxy"


def test_no_key_and_no_prompt_is_where_it_should_not_be(host: Host) -> None:
    gateway = name_of(host)
    asked = client(gateway=gateway)
    asked.completions.create(model="mini", prompt=PROMPT, max_tokens=1)
    ask(request(body_of(), path=f"/v1/completions?api_key={BOB}", key=None), gateway)
    ask(request(body_of(), path=f"/v1/models/{HASTY}", method="GET"), gateway)
    engine_key = host.run(
        f"grep --recursive --files-with-matches {ENGINE_KEY} /etc /run /var/lib /var/log /root /usr/local"
    )
    assert engine_key.stdout.split() == ["/etc/haproxy/haproxy.cfg", "/etc/haproxy/vllm/probe.json"]
    for canary in (ALICE, BOB, PROMPT):
        found = host.run(f"grep --recursive --files-with-matches '{canary}' /etc /run /var/lib /root /usr/local")
        assert found.stdout == "", "clients' keys are kept as hashes only"
    said = journal(host)
    processes = host.check_output("ps -e -o args")
    for canary in (ALICE, BOB, ENGINE_KEY, PROMPT):
        assert canary not in said
        assert canary not in processes


def test_the_log_names_the_key_and_the_engine(host: Host) -> None:
    gateway = name_of(host)
    request_id = ask(request(), gateway).headers["x-request-id"]
    logged = json.loads(journal(host, f"--unit haproxy --grep '{request_id}'").splitlines()[-1])
    assert (logged["key"], logged["path"], logged["status"]) == ("alice", "/v1/completions", 200)
    assert logged["server"] in ("model-mini/gateway-a:mini", "model-mini/gateway-b:mini")


@pytest.mark.parametrize(("address", "port"), [("10.89.96.51", 8002), ("10.89.96.51", 8003), ("10.89.96.52", 8002)])
def test_only_gateways_reach_an_engine(host: Host, address: str, port: int) -> None:
    connect = f"import socket; socket.create_connection(('{address}', {port}), 3)"
    assert host.run(f'python3 -c "{connect}"').succeeded
    # This machine is on the same network, and is no gateway.
    with pytest.raises(OSError, match="timed out"):
        socket.create_connection((address, port), 3)


def test_no_request_of_all_these_tests_crashed_the_gateway(host: Host) -> None:
    assert host.check_output("systemctl show --value -p NRestarts haproxy.service") == "0"
