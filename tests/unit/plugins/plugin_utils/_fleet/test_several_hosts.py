# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that name their hosts: each host's part, what is refused, whether plans agree, and batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.filter.part_of_host import part_of_host
from ansible_collections.llmops.inference.plugins.filter.unparted_batches import unparted_batches
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.gateway import services_of
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.several_hosts import batches, group_conflicts
from hypothesis import given
from hypothesis import strategies as st

LARGE: dict[str, Any] = {
    "name": "large",
    "model": "/m",
    "port": 8001,
    "hosts": ["a", "b"],
    "tensor_parallel_size": 2,
}
ALONE: dict[str, Any] = {"name": "mini", "model": "/m", "port": 8002}
Variables = dict[str, dict[str, Any]]


def inventory(*layout: dict[str, Any], **of_host: Any) -> Variables:
    """Hosts a, b and c with one layout, addresses of an interconnect, and what else is said of each."""
    return {
        host: {
            "vllm_services_layout": list(layout),
            "vllm_services_interconnect_address": f"10.0.0.{number}",
            **of_host.get(host, {}),
        }
        for number, host in enumerate("abc", 1)
    }


def refusal(host: str, variables: Variables) -> str:
    with pytest.raises(AnsibleFilterError) as error:
        part_of_host(variables[host]["vllm_services_layout"], host, variables)
    return str(error.value)


def test_each_host_gets_its_part_and_its_rank() -> None:
    variables = inventory(LARGE, ALONE)
    parts = {host: part_of_host([LARGE, ALONE], host, variables) for host in "abc"}
    assert [[item["name"] for item in part] for part in parts.values()] == [["large", "mini"]] * 2 + [["mini"]]
    for rank, host in enumerate("ab"):
        assert parts[host][0]["multi_node"] == {
            "node_rank": rank,
            "addresses": ["10.0.0.1", "10.0.0.2"],
            "master_port": 29501,
            "executor": "mp",
        }
        assert "hosts" not in parts[host][0]


def test_a_service_may_name_one_host_and_then_runs_there_alone() -> None:
    only = {**ALONE, "hosts": ["b"]}
    assert part_of_host([only], "b", inventory(only)) == [ALONE]
    assert part_of_host([only], "a", inventory(only)) == []


def test_a_layout_that_names_no_host_is_left_as_it_is() -> None:
    assert part_of_host([ALONE], "a", {}) == [ALONE]


def test_what_a_host_has_for_itself_may_differ() -> None:
    of_b = {"vllm_services_layout": [{**LARGE, "gpus": [3], "gpu_memory_utilization": 0.5}]}
    assert part_of_host([LARGE], "a", inventory(LARGE, b=of_b))[0]["multi_node"]["node_rank"] == 0


@pytest.mark.parametrize(
    ("keys", "of_host", "says"),
    [
        ({"hosts": ["a", "gpu9"]}, {}, "hosts names gpu9, and the inventory has no such host."),
        ({"hosts": ["a", "a"]}, {}, "hosts names a twice"),
        ({"hosts": "a"}, {}, "hosts must be a list of names of the inventory, not 'a'."),
        ({"hosts": []}, {}, "hosts must be a list of names"),
        ({"executor": "slurm"}, {}, "executor 'slurm' is none of mp, ray."),
        ({}, {"b": {"vllm_services_interconnect_address": ""}}, "no vllm_services_interconnect_address of b"),
        ({}, {"b": {"vllm_services_layout": []}}, "it is to run on b, too, whose layout does not have it"),
        (
            {},
            {"b": {"vllm_services_layout": [{**LARGE, "max_model_len": 5, "port": 1}]}},
            "max_model_len, port differ between a and b",
        ),
    ],
)
def test_what_the_inventory_cannot_carry_is_refused(keys: dict[str, Any], of_host: Variables, says: str) -> None:
    assert says in refusal("a", inventory({**LARGE, **keys}, **of_host))


def test_an_executor_needs_hosts() -> None:
    assert "executor say how several hosts run it; name them as hosts" in refusal(
        "a", inventory({**ALONE, "executor": "ray"})
    )


def test_two_services_do_not_meet_on_one_port() -> None:
    other = {**LARGE, "name": "other", "port": 8003, "master_port": 29502}
    assert "port 29502 is also that of the hosts of 'large'" in refusal("a", inventory(LARGE, other))
    apart = {**other, "master_port": 29503}
    assert len(part_of_host([LARGE, apart], "a", inventory(LARGE, apart))) == 2


def test_a_gateway_asks_the_first_host_only() -> None:
    variables = inventory({**LARGE, "host": "0.0.0.0"})
    assert [service["host"] for service in services_of("abc", variables, "gateway")] == ["a"]


# Whether they agree.


def part(name: str = "large", action: str = "kept", **keys: Any) -> dict[str, Any]:
    planned = {"name": name, "fingerprint": "f", "max_model_len": 4096, **keys}
    version = planned.pop("engine_version", "0.32.0")
    return {
        "plan": {"engine_version": version, "services": [planned]},
        "services": [{"name": name, "action": action}],
    }


GROUPS: Mapping[str, Sequence[str]] = {"large": ["a", "b"]}


def said(parts: Mapping[str, Any], forks: int = 5) -> str:
    return " ".join(group_conflicts(GROUPS, parts, forks)["problems"])


def test_hosts_that_change_nothing_agree_whatever_they_are() -> None:
    assert group_conflicts(GROUPS, {"a": part(), "b": part()}, 1) == {"problems": [], "restart": []}
    assert group_conflicts(GROUPS, {"a": part()}, 1) == {"problems": [], "restart": []}, "the other need not be there"


def test_where_one_restarts_all_do() -> None:
    parts = {"a": part(), "b": part(action="restarted: its configuration changed")}
    assert group_conflicts(GROUPS, parts, 2) == {"problems": [], "restart": ["large"]}


@pytest.mark.parametrize("other", [{}, {"b": {}}])
def test_a_host_does_not_change_alone(other: dict[str, Any]) -> None:
    assert "b cannot change with it: it failed, or is not in this batch" in said({"a": part(action="started"), **other})


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"engine_version": "0.31.0"}, "their engines differ (engine_version): 0.32.0 on a, 0.31.0 on b."),
        ({"fingerprint": "g"}, "their model files differ (fingerprint): f on a, g on b."),
        ({"max_model_len": 1024}, "what fits differs: 4096 on a, 1024 on b. State max_model_len: 1024"),
    ],
)
def test_hosts_that_differ_are_refused_with_what_differs(keys: dict[str, Any], says: str) -> None:
    assert says in said({"a": part(action="started"), "b": part(action="started", **keys)})


def test_check_mode_on_hosts_without_an_engine_says_nothing_against_them() -> None:
    nothing = {"changed": True, "services": []}
    assert group_conflicts(GROUPS, {"a": nothing, "b": nothing}, 2) == {"problems": [], "restart": ["large"]}


def test_hosts_that_wait_for_each_other_need_as_many_forks() -> None:
    parts = {"a": part(action="started"), "b": part(action="started")}
    assert "2 hosts of this batch wait for each other, and 1 work at a time: run it with --forks 2" in said(parts, 1)
    assert said(parts, 2) == ""


# Batches.


@pytest.mark.parametrize(
    ("sizes", "groups", "expected"),
    [
        ([1], [["b", "c"]], [1, 2, 1, 1]),
        ([1], [["a", "d"]], [4, 1]),
        ([2], [["b", "c"], ["c", "d"]], [4, 1]),
        ([1, 2], [["d", "e"]], [1, 2, 2]),
        ([5], [["a", "b"]], [5]),
        ([1], [["a", "elsewhere"]], [1, 1, 1, 1, 1]),
    ],
)
def test_a_batch_goes_on_until_no_group_is_parted(
    sizes: list[int], groups: list[list[str]], expected: list[int]
) -> None:
    assert batches(list("abcde"), sizes, groups) == expected


HOSTS = [f"h{number}" for number in range(12)]


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.lists(st.lists(st.sampled_from(HOSTS), min_size=2, max_size=4, unique=True), max_size=4),
)
def test_every_host_is_in_one_batch_with_its_groups(sizes: list[int], groups: list[list[str]]) -> None:
    result = batches(HOSTS, sizes, groups)
    assert sum(result) == len(HOSTS)
    assert min(result) > 0
    ends = [sum(result[: place + 1]) for place in range(len(result))]
    batch = {host: next(place for place, end in enumerate(ends) if number < end) for number, host in enumerate(HOSTS)}
    assert all(len({batch[host] for host in group}) == 1 for group in groups)


def test_serial_is_left_alone_where_no_service_has_several_hosts() -> None:
    assert unparted_batches("30%", list("abc"), inventory(ALONE)) == "30%"


def test_serial_may_be_a_number_a_percentage_or_a_list() -> None:
    variables = inventory({**LARGE, "hosts": ["b", "c"]})
    assert unparted_batches(1, list("abc"), variables) == [1, 2]
    assert unparted_batches("100%", list("abc"), variables) == [3]
    assert unparted_batches(["1", "50%"], list("abc"), variables) == [1, 2]
    with pytest.raises(AnsibleFilterError, match="neither a number of hosts nor a percentage"):
        unparted_batches("many", list("abc"), variables)
