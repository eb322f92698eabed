# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HAProxy 2.6 and 3.0 say on their master socket, as they said it."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._gateway.haproxy import (
    Gateway,
    Server,
    last_ones,
    of_host,
    parse_servers,
    parse_sessions,
    parse_workers,
    wait,
)

SERVERS = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change
4 model-Qwen-micro 1 gateway-a:micro 10.89.96.51 0 0 1 1 797
5 model-mini 1 gateway-a:mini 10.89.96.51 2 8 1 1 797
5 model-mini 2 gateway-b:mini 10.89.96.52 2 0 1 1 797

"""
WORKERS = """\
#<PID>          <type>          <reloads>       <uptime>        <version>
243             master          3 [failed: 0]   0d00h25m38s     2.6.12-1+deb12u3
# workers
2173            worker          0               0d00h13m29s     2.6.12-1+deb12u3
# old workers
1999            worker          1               0d00h20m01s     2.6.12-1+deb12u3
# programs

"""
SESSIONS = """\
# pxname,svname,qcur,qmax,scur,smax,slim,stot
model-Qwen-micro,gateway-a:micro,0,0,3,5,8,90
model-mini,gateway-a:mini,0,0,0,1,8,12

"""
MINI = Server("model-mini", "gateway-a:mini", drained=True, up=True)
MICRO = Server("model-Qwen-micro", "gateway-a:micro", drained=False, up=False)


def test_servers_are_read() -> None:
    servers = parse_servers(SERVERS)
    assert servers[:2] == [MICRO, MINI]
    assert (MINI.host, MINI.service) == ("gateway-a", "mini")


def test_what_is_no_list_of_servers_is_said() -> None:
    with pytest.raises(InferenceError, match="Unknown command"):
        parse_servers("Unknown command: 'show servers state'\n")


def server(host: str, model: str = "mini", drained: bool = False, up: bool = True) -> Server:
    return Server(f"model-{model}", f"{host}:{model}", drained, up)


def test_what_leaves_a_model_without_a_server_is_known() -> None:
    a, b = server("a"), server("b")
    assert last_ones([a, b], [a]) == []
    for away in (server("b", drained=True), server("b", up=False)):
        assert last_ones([a, away], [a]) == [a]
    assert last_ones([a], [a]) == [], "it has no other"
    assert last_ones([a, server("b", "micro")], [a]) == []
    assert last_ones([a, b], [a, b]) == [], "all at once is what was asked for"
    down = server("a", up=False)
    assert last_ones([down, server("b", drained=True)], [down]) == [], "it serves nobody as it is"


def test_workers_that_finish_are_counted_and_the_master_is_not() -> None:
    assert parse_workers(WORKERS) == [2173, 1999]


def test_sessions_are_read() -> None:
    assert parse_sessions(SESSIONS)["model-Qwen-micro", "gateway-a:micro"] == 3


def test_a_host_is_told_from_others_and_its_services_from_each_other() -> None:
    servers = parse_servers(SERVERS)
    assert of_host(servers, "gateway-a", []) == [MICRO, MINI]
    assert of_host(servers, "gateway-a", ["mini"]) == [MINI]
    assert of_host(servers, "gateway", []) == []
    assert of_host(servers, "elsewhere", ["mini"]) == []
    with pytest.raises(InferenceError, match="no service maxi on gateway-a; it has micro, mini"):
        of_host(servers, "gateway-a", ["mini", "maxi"])


def test_a_wait_ends_with_the_last_of_them() -> None:
    looks = iter([[MINI, MICRO], [MINI], []])
    servers, late = wait(lambda: next(looks), lambda server: server.up, timeout=10)
    assert (servers, late) == ([MINI], [])


def test_a_wait_is_bounded() -> None:
    servers, late = wait(lambda: [MINI, MICRO], lambda server: server.up, timeout=0)
    assert (servers, late) == ([MINI, MICRO], [MICRO])


def test_where_nothing_answers_no_gateway_runs(tmp_path: object) -> None:
    assert not Gateway(f"{tmp_path}/no.sock").running()
