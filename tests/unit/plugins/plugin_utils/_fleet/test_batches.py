# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches of a rolling change: whatever the fleet, no model falls below its floor, and no batch is one too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.filter.batch_sizes import batch_sizes as the_filter
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.batches import batch_sizes, floor_of
from hypothesis import assume, given
from hypothesis import strategies as st

FLEET = {f"h{number}": ["mini"] for number in range(8)}


def test_a_number_is_what_has_to_serve() -> None:
    assert batch_sizes(list(FLEET), FLEET, 6) == [2, 2, 2, 2]
    assert batch_sizes(list(FLEET), FLEET, "7") == [1] * 8


def test_a_percentage_is_of_the_replicas_there_are_and_rounded_up() -> None:
    assert floor_of("mini", 8, "75%") == 6
    assert floor_of("mini", 3, "50%") == 2
    assert batch_sizes(list(FLEET), FLEET, "40%") == [4, 4]


def test_no_floor_is_everything_at_once() -> None:
    assert batch_sizes(list(FLEET), FLEET, 0) == [8]


def test_the_scarcest_model_decides_and_others_ride_along() -> None:
    fleet = {"a": ["large"], "b": ["large"], "c": ["small"], "d": ["small"], "e": ["small"], "f": []}
    assert batch_sizes(list(fleet), fleet, 1) == [1, 3, 2]


def test_a_model_may_have_a_floor_of_its_own() -> None:
    assert batch_sizes(list(FLEET), FLEET, {"mini": 4, "default": 8}) == [4, 4]
    assert batch_sizes(list(FLEET), FLEET, {"other": 4}) == [8]


def test_hosts_that_stay_as_they_are_count_as_serving() -> None:
    assert batch_sizes(["h0", "h1"], FLEET, 6) == [2]


def test_two_replicas_on_one_host_go_together() -> None:
    fleet = {"a": ["mini", "mini"], "b": ["mini"], "c": ["mini"]}
    assert batch_sizes(list(fleet), fleet, 2) == [1, 2]


def test_a_model_that_could_never_be_changed_is_refused_in_numbers() -> None:
    with pytest.raises(InferenceError) as refused:
        batch_sizes(["a", "b"], {"a": ["large"], "b": ["mini"]}, 1)
    assert "large: 1 replicas, of which 1 must serve, and a has 1 of them" in str(refused.value)
    assert "mini: 1 replicas" in str(refused.value)
    assert "vllm_site_floor" in str(refused.value)


@pytest.mark.parametrize("floor", ["many", "101%", -1, True, None, 1.5, {"mini": "x"}])
def test_what_is_no_floor_is_refused(floor: Any) -> None:
    with pytest.raises(InferenceError, match="state how many replicas must serve"):
        batch_sizes(["h0"], FLEET, floor)


def test_the_filter_reads_the_layout_in_force_of_every_host() -> None:
    layout = [{"name": "one", "served_model_name": "mini"}]
    variables: dict[str, dict[str, Any]] = {
        "a": {"vllm_services_layout": layout},
        "b": {"vllm_services_profiles": {"after": {"layout": layout}}, "vllm_services_layout": []},
        "c": {"vllm_services_layout": layout},
    }
    assert the_filter(["a", "b"], variables, 1, fleet=["a", "b", "c"]) == [2]
    with pytest.raises(AnsibleFilterError, match="mini: 1 replicas"):
        the_filter(["a"], variables, 1)


def partitions(number: int) -> Iterator[list[int]]:
    """Every way to cut so many hosts into consecutive batches."""
    for cuts in product([False, True], repeat=number - 1):
        sizes = [1]
        for cut in cuts:
            if cut:
                sizes.append(1)
            else:
                sizes[-1] += 1
        yield sizes


def lowest(hosts: list[str], sizes: list[int], fleet: dict[str, list[str]]) -> Counter[str]:
    """The fewest replicas of each model that serve at any time."""
    total = Counter(model for served in fleet.values() for model in served)
    least = Counter(total)
    begin = 0
    for size in sizes:
        stopped = Counter(model for host in hosts[begin : begin + size] for model in fleet[host])
        for model in total:
            least[model] = min(least[model], total[model] - stopped[model])
        begin += size
    return least


MODELS = st.lists(st.sampled_from("abc"), max_size=3)


@given(st.lists(MODELS, min_size=1, max_size=7), st.integers(0, 3), st.data())
def test_no_fleet_falls_below_its_floor_and_no_fewer_batches_would_do(
    served: list[list[str]], floor: int, data: st.DataObject
) -> None:
    fleet = {f"h{number}": models for number, models in enumerate(served)}
    hosts = data.draw(st.lists(st.sampled_from(sorted(fleet)), unique=True, min_size=1))
    total = Counter(model for models in fleet.values() for model in models)

    def kept(sizes: list[int]) -> bool:
        least = lowest(hosts, sizes, fleet)
        changed = {model for host in hosts for model in fleet[host]}
        return all(least[model] >= floor for model in total if model in changed)

    possible = [sizes for sizes in partitions(len(hosts)) if kept(sizes)]
    if not possible:
        with pytest.raises(InferenceError):
            batch_sizes(hosts, fleet, floor)
        return
    sizes = batch_sizes(hosts, fleet, floor)
    assert sum(sizes) == len(hosts)
    assert sizes in possible
    assert len(sizes) == min(map(len, possible))


@given(st.lists(MODELS, min_size=1, max_size=40), st.integers(0, 100))
def test_a_percentage_holds_for_fleets_of_any_size(served: list[list[str]], percent: int) -> None:
    fleet = {f"h{number}": models for number, models in enumerate(served)}
    total = Counter(model for models in served for model in models)
    try:
        sizes = batch_sizes(list(fleet), fleet, f"{percent}%")
    except InferenceError:
        assume(False)
    least = lowest(list(fleet), sizes, fleet)
    assert all(100 * least[model] >= percent * total[model] for model in total)
