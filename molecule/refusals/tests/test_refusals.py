# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After all that was refused the host is as it was: two services, one generation, no secret outside its file."""

from __future__ import annotations

import pytest
from testinfra.host import Host

testinfra_hosts = ["podman://refusals"]

CANARY = "canary-5f1d"


@pytest.mark.parametrize("service", ["mini", "micro"])
def test_it_still_serves_without_an_automatic_restart(host: Host, service: str) -> None:
    assert host.service(f"vllm@{service}").is_running
    assert host.check_output(f"systemctl show --value -p NRestarts vllm@{service}") == "0"


def test_there_is_one_generation_and_no_other_service(host: Host) -> None:
    assert host.check_output("ls /etc/vllm/generations") == "1"
    links = host.check_output("ls /etc/systemd/system").split()
    assert sorted(link for link in links if link.startswith("vllm")) == [
        "vllm-group@.service",
        "vllm-recover.service",
        "vllm-watchdog@.service",
        "vllm-watchdog@micro.timer",
        "vllm-watchdog@mini.timer",
        "vllm.target",
        "vllm@.service",
        "vllm@micro.service.d",
        "vllm@mini.service.d",
    ]


def test_no_lock_outlives_its_start(host: Host) -> None:
    assert host.check_output("ls /run/vllm/locks") == "registry"


def test_a_secret_is_in_its_file_and_nowhere_else(host: Host) -> None:
    found = host.run(f"grep --recursive --files-with-matches {CANARY} /etc /run /var/log /var/lib/vllm /root")
    assert found.stdout.split() == ["/etc/vllm/generations/1/services/mini/secrets"]
    secrets = host.file("/etc/vllm/generations/1/services/mini/secrets")
    assert (secrets.user, secrets.group, secrets.mode) == ("root", "root", 0o600)
    assert CANARY not in host.check_output("journalctl --no-pager --output=cat")
    assert CANARY not in host.check_output("ps -e -o args")


def test_the_engine_asks_for_the_secret(host: Host) -> None:
    ask = (
        "import urllib.request as u, urllib.error\n"
        "try: print(u.urlopen('http://127.0.0.1:8002/v1/models').status)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    assert host.check_output(f'python3 -c "{ask}"') == "401"
