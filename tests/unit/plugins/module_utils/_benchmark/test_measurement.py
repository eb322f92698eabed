# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark asks and how it reads what its host tells: everything of it that needs no host."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._benchmark import command as bench
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.engine_counters import (
    count_between,
    grown,
    reading,
)
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.gauges import spent, thinned
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.load_unit import LoadUnit
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.measurement import _addresses
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import SCENARIO_NAMES as NAMES
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import Quality, read_result
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.run import RunContext, combine
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.scenarios import (
    OVERRIDES,
    SCENARIOS,
    Asked,
    asked_of,
    scenario,
)
from ansible_collections.llmops.inference.plugins.module_utils._engine.metrics import read_sums
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File
from ansible_collections.llmops.inference.plugins.module_utils._generation.serving import Serving, read_serving
from ansible_collections.llmops.inference.plugins.module_utils._incidents.episodes import Episode
from ansible_collections.llmops.inference.plugins.modules.vllm_benchmark import OPTIONS
from ansible_collections.llmops.inference.tests.unit.measured import ENVIRONMENT, memory, service
from ansible_collections.llmops.inference.tests.unit.nvml_box import build_standin, environment
from ansible_collections.llmops.inference.tests.unit.plugins.module_utils._render.test_generation import rendered


def asked(name: str = "standard", max_model_len: int = 8192, **overrides: Any) -> Asked:
    return asked_of("mini", max_model_len, name, scenario(name, overrides))


# ---- what is asked


def test_every_scenario_of_a_result_is_one_that_can_be_asked_for() -> None:
    assert set(SCENARIOS) == set(NAMES) == set(OPTIONS["scenario"]["choices"])
    assert set(OPTIONS["load"]["options"]) == set(OVERRIDES)


def test_long_prompts_fill_nine_tenths_of_the_context_with_their_answers() -> None:
    found = asked("long_context", 131072)
    assert found.input_tokens + found.output_tokens == math.floor(0.9 * 131072)
    assert asked("long_context", 131072, input_tokens=1000).input_tokens == 1000


def test_what_a_user_states_wins_and_null_is_not_stated() -> None:
    found = asked(requests=7, concurrency=None, output_tokens=9)
    assert (found.requests, found.concurrency, found.output_tokens) == (7, 4, 9)


def test_a_rate_makes_it_an_open_loop_without_a_limit_in_flight() -> None:
    assert (asked().mode, asked(requests_per_second=2.0).mode) == ("closed", "open")
    assert asked(requests_per_second=2.0).concurrency is None
    assert asked(requests_per_second=2.0, concurrency=3).concurrency == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"requests": 0}, "load.requests is 0; 1 to 100000 is expected."),
        ({"requests": 10**6}, "load.requests is 1000000; 1 to 100000"),
        ({"seconds": 10**6}, "load.seconds is 1000000; 1 to 86400"),
        ({"concurrency": 5000}, "load.concurrency is 5000"),
        ({"requests_per_second": 0.0}, "load.requests_per_second is 0; above 0"),
        ({"context_share": 1.5}, "load.context_share is 1.5; above 0 and at most 1"),
        ({"input_tokens": 5, "context_share": 0.5}, "state one of them"),
    ],
)
def test_a_load_without_bounds_is_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(InferenceError, match=re.escape(message)):
        scenario("standard", overrides)


def test_prompts_that_do_not_fit_the_context_are_refused_with_what_does() -> None:
    with pytest.raises(InferenceError, match="128 tokens in and 64 out do not fit its max_model_len of 150; lower"):
        asked(max_model_len=150)
    with pytest.raises(InferenceError, match="service 'mini': 0 tokens in and 64 out do not fit"):
        asked("long_context", 60)


def test_no_more_is_sent_than_fits_into_the_time() -> None:
    assert asked(requests=100, seconds=10).within(2.5) == 25
    assert asked(requests=100, seconds=10).within(50.0) == 100
    assert asked(requests=100, seconds=10).within(None) == 100
    assert asked(requests=100, seconds=10).within(0.001) == 1
    assert asked("soak", requests_per_second=2.0, seconds=10).within(0.5) == 20


# ---- the load generator

TARGET = bench.Target("http://127.0.0.1:8002", "mini", "/srv/models/mini")


def line(**changes: Any) -> str:
    order = bench.Order(TARGET, asked(), 40, 7, "salt")
    return " ".join(bench.bench_command("/opt/vllm/0.32.0/bin/vllm", replace(order, **changes)))


def test_the_command_line_asks_for_what_was_asked() -> None:
    found = line()
    assert found.startswith("/opt/vllm/0.32.0/bin/vllm bench serve --backend openai --endpoint /v1/completions")
    for words in (
        "--base-url http://127.0.0.1:8002 --model mini --tokenizer /srv/models/mini",
        "--random-input-len 128 --random-output-len 64",
        "--num-prompts 40 --seed 7",
        '--extra-body {"cache_salt": "salt"}',
        "--request-rate inf --max-concurrency 4",
        "--save-result --save-detailed",
    ):
        assert words in found
    assert "--insecure" not in found
    assert "--trust-remote-code" not in found


def test_an_open_loop_has_a_rate_and_a_limit_only_where_one_is_asked_for() -> None:
    assert "--request-rate 2.5 --save-result" in line(asked=asked(requests_per_second=2.5))
    assert line(target=replace(TARGET, validate_certs=False, trust_remote_code=True)).endswith(
        "--trust-remote-code --insecure"
    )


def test_the_sandbox_lets_it_reach_its_service_and_nobody_else() -> None:
    owner = bench.Owner("vllm", 999, 998)
    order = bench.Order(replace(TARGET, peers=("localhost", "10.0.0.11")), asked(), 40, 7, "salt")
    found = bench.properties(order, "/run/vllm-benchmark/mini", "/run/vllm-benchmark/mini.key", owner)
    assert [entry for entry in found if entry.startswith("IPAddress")] == [
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
        "IPAddressAllow=10.0.0.11",
    ]
    assert {"User=vllm", "Group=998", "Environment=HF_HUB_OFFLINE=1", "Environment=CUDA_VISIBLE_DEVICES="} <= set(found)
    assert f"RuntimeMaxSec={300 + 3 * 120 + 60}" in found
    assert [entry for entry in found if "key" in entry.lower()] == [
        "EnvironmentFile=/run/vllm-benchmark/mini.key",
    ]
    assert not [entry for entry in bench.properties(order, "/d", None, owner) if entry.startswith("EnvironmentFile")]


@pytest.mark.parametrize(
    ("begun", "ended", "cpu", "text"),
    [
        (10.0, 20.0, 12.5, "the load generator itself took 95% of a core, and it has but one thread for its requests."),
        (10.0, 20.0, 6.0, None),
        (10.0, 11.0, 12.0, None),
        (10.0, None, 99.0, None),
    ],
)
def test_a_load_generator_that_had_no_time_left_is_the_bottleneck(
    begun: float, ended: float | None, cpu: float, text: str | None
) -> None:
    unit = LoadUnit(lambda command: (0, "", ""), "mini", bench.Owner("vllm", 1, 1), begun, ended, 3.0, cpu)
    assert unit.bottleneck() == text


def test_a_gateway_is_a_base_url_and_only_its_addresses_are_let_through() -> None:
    assert _addresses("https://127.0.0.1:8443") == ("127.0.0.1", "localhost")
    for wrong in ("ftp://10.0.0.1", "10.0.0.1:8443", "https://10.0.0.1/v1", "https://me:pw@10.0.0.1"):
        with pytest.raises(InferenceError, match=r"a base URL such as https://10\.0\.0\.5:8443 is expected"):
            _addresses(wrong)


# ---- what the engine counted

BEFORE = """# HELP vllm:num_preemptions_total
vllm:num_preemptions_total{engine="0",model_name="mini"} 2.0
vllm:prompt_tokens_total{engine="0",model_name="mini"} 1000.0
vllm:generation_tokens_total{engine="0",model_name="mini"} 500.0
vllm:num_requests_waiting{engine="0",model_name="mini"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="mini"} 0.25
vllm:request_queue_time_seconds_sum{engine="0",model_name="mini"} 1.0
vllm:request_queue_time_seconds_count{engine="0",model_name="mini"} 10.0
"""
AFTER = """vllm:num_preemptions_total{engine="0"} 5.0
vllm:prompt_tokens_total{engine="0"} 1600.0
vllm:generation_tokens_total{engine="0"} 900.0
vllm:num_requests_waiting{engine="0"} 0.0
vllm:kv_cache_usage_perc{engine="0"} 0.1
vllm:request_queue_time_seconds_sum{engine="0"} 4.0
vllm:request_queue_time_seconds_count{engine="0"} 16.0
"""


def test_counters_are_what_was_added_and_gauges_their_highest() -> None:
    found = count_between([reading(read_sums(BEFORE)), reading(read_sums(AFTER))])
    assert (found.preemptions, found.prompt_tokens, found.generation_tokens) == (3, 600, 400)
    assert (found.waiting_max, found.kv_cache_usage_max) == (1, 0.25)
    assert found.queue_mean_seconds == pytest.approx(0.5)
    assert found.ttft_mean_seconds is None, "no reading has it"


def test_an_engine_that_was_started_again_counts_from_nothing() -> None:
    readings = [{"n": 100.0}, {"n": 130.0}, {"n": 5.0}, {"n": 12.0}]
    assert grown(readings, "n") == 30 + 5 + 7
    assert count_between([]).preemptions is None


# ---- what the devices told


def test_thinned_samples_keep_every_peak() -> None:
    samples = [(float(n), float(n % 100)) for n in range(5000)]
    found = thinned(samples, 600)
    assert len(found) <= 600
    assert max(found, key=lambda sample: sample[1])[1] == 99.0
    assert thinned(samples[:10]) == samples[:10]


def test_energy_is_what_was_taken_between_two_moments() -> None:
    series = [(0.0, 1000.0), (10.0, 2000.0), (20.0, 5000.0)]
    assert spent(series, 5.0, 15.0) == pytest.approx(500 + 1500)
    assert spent(series, 5.0, 99.0) == pytest.approx(3500), "no further than what was read"
    assert spent(series[:1], 0.0, 1.0) is None
    assert spent(series, 5.0, 5.0) is None


METER = """
import json, time
from ansible_collections.llmops.inference.plugins.module_utils._gpu.nvml import meters
with meters() as found:
    first = {uuid: (one.memory_used_bytes(), one.joules(), one.watts()) for uuid, one in found.items()}
    time.sleep(0.25)
    print(json.dumps([first, {uuid: one.joules() for uuid, one in found.items()}]))
"""


def meter(box: Path | None, variant: str = "") -> Any:
    build_standin()
    answer = subprocess.run(
        [sys.executable, "-c", METER], env=environment(box, variant), capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "test.box"
    path.write_text(
        "driver version=580.95.05\n"
        "gpu bus=0000:17:00.0 uuid=GPU-0 name=H100 memory=80GiB used=30GiB compute=9.0 power=400\n"
        "gpu bus=0000:18:00.0 uuid=GPU-1 name=H100 memory=80GiB compute=9.0\n"
    )
    return path


def test_memory_and_energy_of_gpus_are_read_while_something_runs(box: Path) -> None:
    first, later = meter(box)
    used, joules, watts = first["GPU-0"]
    assert (used, watts) == (30 << 30, 400.0)
    assert later["GPU-0"] - joules == pytest.approx(400 * 0.25, rel=0.5)
    assert first["GPU-1"] == [0, None, None], "it does not tell its power"


def test_an_older_driver_tells_power_instead_of_energy(box: Path) -> None:
    first, _later = meter(box, "older-driver")
    assert first["GPU-0"] == [30 << 30, None, 400.0]


def test_without_a_driver_there_is_nothing_to_read() -> None:
    assert meter(None) == [{}, {}]


# ---- the run as a whole


def test_incidents_and_restarts_go_to_their_services_with_the_time_in_the_run() -> None:
    oom = Episode(1007.5, "out_of_device_memory", "CUDA out of memory.", "", service="mini", restarts=1)
    host = RunContext(1000.25, ENVIRONMENT, [oom], (memory(),), 12.0)
    made = combine([service("mini"), service("micro")], {"mini": Quality(perplexity_short=9.0)}, host)
    assert made.started == "1970-01-01T00:16:40.250Z"
    assert [(one.kind, one.at_seconds, one.service) for one in made.incidents] == [
        ("out_of_device_memory", 7.25, "mini")
    ]
    assert [one.restarts for one in made.services] == [1, 0]
    assert [one.quality.perplexity_short for one in made.services] == [9.0, None]
    assert read_result(json.loads(json.dumps(made.to_dict()))) == made


# ---- what the active generation serves


def test_services_are_read_in_start_order_with_what_turns_their_texts_into_tokens() -> None:
    found = read_serving(rendered())
    assert [one.name for one in found.choose([])] == [planned.name for planned in found.plan.services]
    assert found.executable == "/opt/vllm/0.32.0/bin/vllm"
    first = found.services[0]
    assert first.tokenizer == first.planned.model
    assert first.environment["HF_HUB_OFFLINE"] == "1"


def test_another_tokenizer_of_the_engine_is_the_load_generators_too() -> None:
    files = rendered()
    name = read_serving(files).services[0].name
    path = f"services/{name}/engine.yaml"
    files[path] = File(files[path].text + 'tokenizer: "/srv/other"\ntrust-remote-code: true\n')
    first = read_serving(files).services[0]
    assert (first.tokenizer, first.trust_remote_code) == ("/srv/other", True)


def test_a_name_that_is_no_service_of_the_generation_is_refused_with_those_that_are() -> None:
    found: Serving = read_serving(rendered())
    names = ", ".join(one.name for one in found.services)
    with pytest.raises(InferenceError, match=f"has no service maxi; it has {names}"):
        found.choose(["maxi"])


def test_nothing_deployed_is_nothing_to_measure() -> None:
    with pytest.raises(InferenceError, match="nothing is deployed on this host; deploy a layout first"):
        read_serving({})
    with pytest.raises(InferenceError, match="was written by another version"):
        read_serving({"plan.json": File("{}")})
