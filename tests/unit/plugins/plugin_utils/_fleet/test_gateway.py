# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the layouts of hosts to what a gateway routes, and from keys to their hashes."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._fleet.gateway import backends_of, keys_of, services_of

KEY = "0123456789abcdef0123456789abcdef"


def layout(**keys: Any) -> dict[str, Any]:
    return {"name": "mini", "model": "/srv/models/mini", "port": 8002, **keys}


def service(**keys: Any) -> dict[str, Any]:
    """One service as the gateway reaches it."""
    known = {"host": "gpu-1", "name": "mini", "model": "mini", "address": "10.0.0.1", "port": 8002, "maxconn": 8}
    return {**known, **keys}


def refusal(*services: dict[str, Any]) -> str:
    with pytest.raises(InferenceError) as refused:
        backends_of(services)
    return str(refused.value)


def test_a_gateway_on_the_engines_own_host_reaches_its_loopback() -> None:
    found = services_of(["box"], {"box": {"vllm_services_layout": [layout()]}}, "box")
    assert found == [
        {
            "host": "box",
            "name": "mini",
            "model": "mini",
            "address": "127.0.0.1",
            "port": 8002,
            "maxconn": 256,
            "api_key": "",
        }
    ]


def test_another_host_has_to_listen_where_the_gateway_reaches_it() -> None:
    variables = {"gpu-1": {"vllm_services_layout": [layout()]}}
    with pytest.raises(InferenceError, match=r"mini of gpu-1 listens on 127\.0\.0\.1, which edge cannot reach"):
        services_of(["gpu-1"], variables, "edge")
    variables["gpu-1"]["vllm_services_layout"] = [layout(host="10.0.0.11")]
    assert services_of(["gpu-1"], variables, "edge")[0]["address"] == "10.0.0.11"


def test_a_service_on_a_socket_is_beyond_a_gateway() -> None:
    variables = {"box": {"vllm_services_layout": [layout(port=None, socket=True)]}}
    with pytest.raises(InferenceError, match=r"mini of box listens on its unix socket.* a port instead"):
        services_of(["box"], variables, "box")


def test_every_address_is_the_one_that_ansible_knows() -> None:
    variables = {"gpu-1": {"ansible_host": "10.0.0.11", "vllm_services_layout": [layout(host="0.0.0.0")]}}
    assert services_of(["gpu-1"], variables, "edge")[0]["address"] == "10.0.0.11"
    assert services_of(["gpu-1"], variables, "gpu-1")[0]["address"] == "127.0.0.1"


def test_the_layout_is_that_of_the_profile_in_force() -> None:
    variables = {
        "box": {
            "vllm_services_layout": [layout(name="old")],
            "vllm_services_profile": "new",
            "vllm_services_profiles": {"new": {"layout": [layout(name="new")]}, "after": {}},
        }
    }
    assert [item["name"] for item in services_of(["box"], variables, "box")] == ["new"]
    variables["box"]["vllm_services_profile"] = "after"
    assert [item["name"] for item in services_of(["box"], variables, "box")] == ["old"]


def test_a_host_without_a_layout_serves_nothing() -> None:
    assert services_of(["box"], {"box": {}}, "box") == []


def test_an_engine_is_given_as_much_as_it_works_on_at_a_time() -> None:
    given = [layout(max_num_seqs=12), layout(name="micro", port=8003)]
    found = services_of(["box"], {"box": {"vllm_runtime_accelerator": "cpu", "vllm_services_layout": given}}, "box")
    assert [item["maxconn"] for item in found] == [12, 32]


def test_keys_that_are_changed_over_the_layout_hold_for_the_gateway_too() -> None:
    variables: dict[str, Any] = {
        "vllm_services_layout": [layout(max_num_seqs=12)],
        "vllm_services_changes": {"mini": {"max_num_seqs": 3}},
    }
    assert services_of(["box"], {"box": variables}, "box")[0]["maxconn"] == 3
    variables["vllm_services_profiles"] = {"after": {"changes": {"mini": {"max_num_seqs": 5}}}}
    assert services_of(["box"], {"box": variables}, "box")[0]["maxconn"] == 5


def test_one_model_of_two_hosts_is_one_backend() -> None:
    found = backends_of([service(), service(host="gpu-2", address="10.0.0.2"), service(name="b", model="Qwen/b")])
    assert [backend["model"] for backend in found] == ["Qwen/b", "mini"]
    assert [server["name"] for server in found[1]["servers"]] == ["gpu-1:mini", "gpu-2:mini"]


def test_a_model_is_found_under_both_forms_of_its_path() -> None:
    assert backends_of([service(model="Qwen/b")])[0]["paths"] == ["Qwen/b", "Qwen%2Fb"]
    assert backends_of([service()])[0]["paths"] == ["mini"]


def test_models_whose_names_differ_in_what_haproxy_cannot_write_keep_apart() -> None:
    names = [backend["name"] for backend in backends_of([service(model="a/b"), service(model="a-b")])]
    assert len(set(names)) == 2


def test_ipv6_is_written_in_brackets() -> None:
    server = backends_of([service(address="fd00::1")])[0]["servers"][0]
    assert (server["address"], server["host"]) == ("[fd00::1]", "fd00::1")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"model": "a b"}, "model 'a b' has other characters"),
        ({"model": "a'b"}, "has other characters"),
        ({"model": "%[env(HOME)]"}, "has other characters"),
        ({"model": ""}, "has other characters"),
        ({"address": "a b"}, "address 'a b' has other characters"),
        ({"host": "a/b"}, "host 'a/b' has other characters"),
        ({"port": "none"}, "port 'none' is no number"),
        ({"maxconn": 0}, "maxconn 0 is no number of requests"),
        ({"api_key": 'a"b'}, "spaces, quotes"),
        ({"api_key": "a b"}, "spaces, quotes"),
    ],
)
def test_what_its_configuration_could_not_hold_is_refused(keys: dict[str, Any], said: str) -> None:
    assert said in refusal(service(**keys))


def test_engines_of_a_model_have_one_key() -> None:
    said = refusal(service(api_key="first-secret"), service(host="gpu-2", api_key="second-secret"))
    assert "different VLLM_API_KEYs (gpu-1:mini, gpu-2:mini)" in said
    assert "secret" not in said


def test_a_service_is_named_once() -> None:
    assert "gpu-1:mini more than once" in refusal(service(), service(port=8003))


def test_keys_are_kept_as_hashes() -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    bob = {"name": "bob", "sha256": "AB" * 32, "requests_per_minute": "5", "sequences_per_minute": 7}
    given: list[dict[str, Any]] = [{"name": "alice", "key": KEY}, bob]
    assert keys_of(given, 600, 60000) == [
        {"name": "alice", "sha256": digest, "requests_per_minute": 600, "sequences_per_minute": 60000},
        {"name": "bob", "sha256": "ab" * 32, "requests_per_minute": 5, "sequences_per_minute": 7},
    ]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ({"name": "alice", "key": "geheim"}, "the key has 6 characters, and 32 are the least"),
        ({"name": "alice"}, "state either key or sha256"),
        ({"name": "alice", "key": KEY, "sha256": "ab" * 32}, "state either key or sha256"),
        ({"name": "alice", "sha256": KEY}, "not 64 hexadecimal digits"),
        ({"name": "a b", "key": KEY}, "its name has other characters"),
        ({"name": "", "key": KEY}, "its name has other characters"),
        ({"name": "alice", "key": KEY, "requests_per_minute": -1}, "requests_per_minute -1 is no number from 1 to"),
        (
            {"name": "alice", "key": KEY, "sequences_per_minute": 1 << 31},
            "sequences_per_minute 2147483648 is no number",
        ),
    ],
)
def test_a_key_that_cannot_be_is_refused_without_showing_it(key: dict[str, Any], said: str) -> None:
    with pytest.raises(InferenceError) as refused:
        keys_of([key], 600, 60000)
    assert said in str(refused.value)
    assert KEY not in str(refused.value)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("second", [{"name": "alice", "sha256": "ab" * 32}, {"name": "bob", "key": KEY}])
def test_a_key_is_there_once(second: dict[str, Any]) -> None:
    with pytest.raises(InferenceError, match="there twice"):
        keys_of([{"name": "alice", "key": KEY}, second], 600, 60000)
