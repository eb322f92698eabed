# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A layout read from an inventory: defaults, and one clear error for every mistake."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._plan.engine_options import OWNED_FLAGS, OWNED_VARIABLES
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import Rope, Service, parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._service.watchdog import Watchdog
from hypothesis import given
from hypothesis import strategies as st

PLAIN = {"name": "mini", "model": "/srv/models/mini", "port": 8001}


def parse(accelerator: str = "cuda", **keys: Any) -> Service:
    return parse_layout([{**PLAIN, **keys}], accelerator)[0]


def mistake(*services: Any, accelerator: str = "cuda") -> str:
    with pytest.raises(InferenceError) as refused:
        parse_layout(list(services), accelerator)
    return str(refused.value)


def test_defaults_are_filled_in() -> None:
    service = parse()
    assert (service.served_model_name, service.host) == ("mini", "127.0.0.1")
    assert (service.gpus, service.tensor_parallel_size) == (None, 1)
    assert service.max_model_len is None  # fit
    assert (service.max_num_seqs, service.max_num_batched_tokens) == (256, 8192)
    assert (service.shutdown_timeout, service.start_timeout) == (30, 900)


def test_those_who_may_reach_a_service_are_addresses_and_networks() -> None:
    assert parse().allow_from == ()
    allowed = parse(host="10.0.0.1", allow_from=["10.0.0.5", "10.1.0.0/16", "fd00::1"]).allow_from
    assert allowed == ("10.0.0.5/32", "10.1.0.0/16", "fd00::1/128")


def test_null_means_the_default_as_a_template_gives_it() -> None:
    assert parse(served_model_name=None, gpus=None, rope=None, memory_max=None) == parse()


def test_numbers_that_a_template_made_text_are_numbers() -> None:
    service = parse(port="8001", max_model_len="4096", memory_weight="2.5", gpus=["0", "1"])
    assert (service.port, service.max_model_len, service.memory_weight) == (8001, 4096, 2.5)
    assert service.gpus == ("0", "1")


def test_the_engine_is_pinned_to_what_suits_the_accelerator() -> None:
    assert parse("cpu").max_num_seqs == 32
    assert parse("cpu", max_num_seqs=4000).max_num_batched_tokens == 4000


def test_the_number_of_gpus_is_the_number_of_ranks() -> None:
    assert parse(gpus=[0, 1]).tensor_parallel_size == 2
    assert parse(gpus={"count": 4}).tensor_parallel_size == 4
    assert parse(gpus="auto", tensor_parallel_size=2).tensor_parallel_size == 2


def test_a_layout_with_gpus_serves_the_cpu_too() -> None:
    service = parse("cpu", gpus=[0, 1])
    assert (service.gpus, service.tensor_parallel_size) == (None, 1)
    assert parse("cpu", gpus=["numa:1"]).gpus == ("numa:1",)


def test_flags_are_spelled_as_the_engine_spells_them() -> None:
    flags = parse(engine_args={"--enable_prefix_caching": True, "seed": 1}).engine_args
    assert flags == {"enable-prefix-caching": True, "seed": 1}


def test_rope_is_read() -> None:
    rope = {"rope_type": "yarn", "factor": "4.0", "original_max_position_embeddings": 32768}
    assert parse(rope=rope).rope == Rope("yarn", 4.0, 32768)


def test_secrets_do_not_show() -> None:
    service = parse(secret_environment={"VLLM_API_KEY": "geheim"})
    assert service.secret_environment == {"VLLM_API_KEY": "geheim"}
    assert "geheim" not in repr(service)
    for wrong in ("geheim", ["geheim"], {"A": ["geheim"]}, {"A": "geheim\n"}, {"1": "geheim"}):
        assert "geheim" not in mistake({**PLAIN, "secret_environment": wrong})


def test_a_service_on_a_socket_has_no_port_whatever_is_stated() -> None:
    assert parse(socket=True).port is None
    assert parse(socket=True, port=None).port is None
    assert parse(socket=False).port == 8001
    both = parse_layout([{**PLAIN, "socket": True}, {**PLAIN, "name": "micro", "socket": True}])
    assert [service.port for service in both] == [None, None]


def test_every_service_is_watched_unless_the_layout_says_otherwise() -> None:
    assert parse().watchdog == Watchdog(enabled=True, interval=30, deadline=30, misses=3, stall=600)
    assert parse(watchdog=True).watchdog == Watchdog()
    assert not parse(watchdog=False).watchdog.enabled
    assert parse(watchdog={"interval": "10", "misses": 5}).watchdog == Watchdog(interval=10, misses=5)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"socket": "yes please"}, "socket must be true or false"),
        ({"watchdog": 7}, "watchdog is false or takes deadline, interval, misses, stall, not 7"),
        ({"watchdog": {"every": 7}}, "watchdog is false or takes"),
        ({"watchdog": {"interval": 1}}, "interval must be a whole number from 5 to 86400, not 1"),
        ({"watchdog": {"misses": 0}}, "misses must be a whole number from 1"),
        ({"watchdog": {"deadline": "soon"}}, "deadline must be a whole number"),
        ({"name": "Mini"}, "no valid systemd instance"),
        ({"name": "-mini"}, "no valid systemd instance"),
        ({"name": "a/b"}, "no valid systemd instance"),
        ({"name": "x" * 65}, "no valid systemd instance"),
        ({"name": ""}, "no valid systemd instance"),
        ({"name": 7}, "name must be a line of text"),
        ({"model": "models/mini"}, "absolute path"),
        ({"port": 80}, "from 1024 to 65535"),
        ({"port": 0}, "from 1024 to 65535, not 0"),
        ({"port": None}, "port must be a whole number"),
        ({"host": "not a host"}, "neither an IP address nor a host name"),
        ({"host": "10.0.0.1", "allow_from": "10.0.0.2"}, "allow_from must be a list"),
        ({"host": "10.0.0.1", "allow_from": ["edge"]}, "no IP address and no network"),
        ({"host": "10.0.0.1", "allow_from": ["10.0.0.1/8"]}, "has host bits set"),
        ({"host": "gpu-1", "allow_from": ["10.0.0.2"]}, "host must be an IP address, too, not 'gpu-1'"),
        ({"gpus": [0, 0]}, "names 0 twice"),
        ({"gpus": []}, "gpus must be a list"),
        ({"gpus": "all"}, "gpus must be a list"),
        ({"gpus": {"count": 0}}, "N from 1 to 64"),
        ({"gpus": {"number": 2}}, "gpus must be"),
        ({"gpus": [-1]}, "neither an index"),
        ({"gpus": ["MIG-1a2b"]}, "neither an index"),
        ({"gpus": [0, 1], "tensor_parallel_size": 1}, "must equal the number of gpus, which is 2"),
        ({"gpus": {"count": 2}, "tensor_parallel_size": 4}, "must equal the number of gpus, which is 2"),
        ({"max_model_len": "long"}, "'fit' or a whole number"),
        ({"max_model_len": -1}, "'fit' or a whole number"),
        ({"max_model_len": 0}, "'fit' or a whole number"),
        ({"memory_weight": 0}, "above 0"),
        ({"memory_weight": float("nan")}, "above 0"),
        ({"memory_weight": "inf"}, "above 0"),
        ({"gpu_memory_utilization": 1.1}, "above 0 and at most 1"),
        ({"gpu_memory_utilization": 0.12345}, "more than four decimals"),
        ({"kv_cache_dtype": "int4"}, "none of auto"),
        ({"max_num_seqs": 0}, "max_num_seqs must be"),
        ({"max_num_seqs": 64, "max_num_batched_tokens": 32}, "below max_num_seqs 64"),
        ({"rope": {"rope_type": "linear", "factor": 2}}, "rope.rope_type"),
        ({"rope": {"rope_type": "yarn", "factor": 0.5}}, "rope.factor"),
        ({"rope": {"rope_type": "yarn"}}, "rope.factor"),
        ({"rope": {"rope_type": "yarn", "factor": 2, "theta": 1}}, "rope takes"),
        ({"rope": "yarn"}, "rope takes"),
        ({"min_pcie_generation": 9}, "min_pcie_generation"),
        ({"engine_args": {"no such": 1}}, "no flag of the engine"),
        ({"engine_args": {"max_model_len": 1}}, "state it as `max_model_len`"),
        ({"engine_args": {"seed": 1, "--seed": 2}}, "twice, in two spellings"),
        ({"engine_args": {"seed": float("nan")}}, "no plain data"),
        ({"engine_args": ["seed"]}, "must be a dictionary"),
        ({"environment": {"1A": "x"}}, "no name of an environment variable"),
        ({"environment": {"A": "x\ny"}}, "one line of text"),
        ({"environment": {"A": True}}, "text or a number"),
        ({"environment": {"A": "1"}, "secret_environment": {"A": "1"}}, "keep one"),
        ({"shutdown_timeout": 0}, "shutdown_timeout"),
        ({"start_timeout": "soon"}, "start_timeout"),
        ({"memory_max": "64 gigabytes"}, "no size such as 64G"),
        ({"tensor_parallel": 2}, "unknown key 'tensor_parallel'; did you mean tensor_parallel_size?"),
    ],
)
def test_every_mistake_is_named(keys: dict[str, Any], said: str) -> None:
    assert said in mistake({**PLAIN, **keys})


@pytest.mark.parametrize("flag", sorted(OWNED_FLAGS))
def test_what_the_plan_decides_is_no_flag_of_the_users(flag: str) -> None:
    assert OWNED_FLAGS[flag] in mistake({**PLAIN, "engine_args": {flag: 1}})


@pytest.mark.parametrize("variable", sorted(OWNED_VARIABLES))
def test_what_would_break_a_service_is_no_variable_of_the_users(variable: str) -> None:
    for key in ("environment", "secret_environment"):
        assert OWNED_VARIABLES[variable] in mistake({**PLAIN, key: {variable: "1"}})


def test_two_services_on_one_port_are_refused() -> None:
    assert "port 8001 is also that of service 'mini'" in mistake(PLAIN, {**PLAIN, "name": "micro"})


def test_two_services_of_one_name_are_refused() -> None:
    assert "names must be unique" in mistake(PLAIN, {**PLAIN, "port": 8002})


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(InferenceError) as refused:
        parse_layout([{**PLAIN, "port": 1}, {**PLAIN, "name": "B", "gpus": [0, 0]}, 7])
    errors = refused.value.details["errors"]
    assert isinstance(errors, list)
    assert len(errors) == 4


@pytest.mark.parametrize("services", [None, {}, "mini", 7])
def test_services_are_a_list(services: Any) -> None:
    with pytest.raises(InferenceError, match="must be a list"):
        parse_layout(services)


def test_a_million_services_are_refused_at_once() -> None:
    started = time.process_time()
    assert "1000000 services" in mistake(*[PLAIN] * 1_000_000)
    assert time.process_time() - started < 1


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(st.lists(st.dictionaries(st.sampled_from(sorted(Service.__dataclass_fields__)), ANYTHING), max_size=2))
def test_no_layout_does_anything_but_be_read_or_refused(services: list[dict[str, Any]]) -> None:
    try:
        outcome = f"services {parse_layout(services)}"
    except InferenceError as error:
        outcome = str(error)
    assert outcome.startswith("service")
