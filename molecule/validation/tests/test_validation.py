# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real load on real engines: what passes, what fails, and faults in the middle of it that are counted once each.

The tests run in the order in which they stand here; each finds two services that serve.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
from ansible_collections.llmops.inference.tests.testbed.plays import ROOT, Play, Site, await_that
from ansible_collections.llmops.inference.tests.unit.browser import assert_shows

site = Site("validation", "validation")

CANARY = "canary-4b9e"
MEASURED = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "measured"
SMALL = {"requests": 24, "seconds": 20, "warmup_requests": 4, "output_tokens": 24}
THROUGH_THE_GATEWAY = {
    "vllm_validation_gateway": "validation",
    "vllm_validation_gateway_key": f"{CANARY}-0123456789abcdef0123456789abcdef",
    "vllm_validation_gateway_validate_certs": False,
}
GENEROUS: list[dict[str, Any]] = [
    {"service": name, "scenario": "mixed", **limit}
    for name in ("mini", "micro")
    for limit in (
        {"metric": "ttft_p50_seconds", "max": 30},
        {"metric": "output_tokens_per_second", "min": 0.1},
        {"metric": "failed_share", "max": 0},
        {"metric": "restarts", "max": 0},
        {"metric": "goodput_share", "min": 0.99, "within": {"end_to_end_seconds": 60}},
        {"metric": "perplexity_long", "max": 100000},
    )
]


def runs() -> list[dict[str, Any]]:
    """Every run that was kept, the oldest first."""
    return [json.loads(path.read_text()) for path in sorted((MEASURED / "history" / "validation").iterdir())]


def suites() -> ElementTree.Element:
    """The objectives as CI reads them."""
    return ElementTree.parse(MEASURED / "validation.xml").getroot()


def await_load(service: str, play: Play) -> None:
    """Return when a service is under load."""
    log = f"/run/vllm-benchmark/{service}/log"

    def begun() -> bool:
        assert not play.has_ended, play.wait().output
        return "Starting main benchmark run" in site.run(f"cat {log}", check=False)

    await_that(begun, f"{service} is under load")


def process(service: str, name: str) -> str:
    """The process of an engine that has this name."""
    group = f"/sys/fs/cgroup/system.slice/system-vllm.slice/vllm@{service}.service/cgroup.procs"
    return site.run(f"for pid in $(cat {group}); do grep -q '{name}' /proc/$pid/comm && echo $pid; done | head -n 1")


# A prompt whose activations take more than ROOM_BYTES; of one of the load's, the largest takes a tenth of that.
ROOM_BYTES = 1 << 20
GREEDY_CLIENT = """
import json, urllib.request
body = {"model": "micro", "prompt": [5] * 1900, "max_tokens": 1, "prompt_logprobs": 20}
request = urllib.request.Request(
    "http://127.0.0.1:8003/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
)
urllib.request.urlopen(request, timeout=60).read()
"""


def starve_micro() -> None:
    """Leave the engine so much memory that it serves the load as before, and ask it for what takes more.

    With no memory left at all the first to fail would be whoever asks next, a library that does not say why among them.
    """
    worker = process("micro", "VLLM::Worker")
    holds = 1024 * int(site.run(f"awk '/^VmData:/ {{print $2}}' /proc/{worker}/status"))
    site.run(f"prlimit --data={holds + ROOM_BYTES} --pid={worker}")
    site.run(f"systemd-run --quiet --collect --unit=greedy-client python3 -c {shlex.quote(GREEDY_CLIENT)}")


def test_generous_objectives_pass_through_the_gateway_and_the_keys_are_nowhere() -> None:
    play = site.start(
        "playbooks/validate.yml",
        vllm_validation_scenarios=["mixed"],
        vllm_validation_loads={"mixed": SMALL},
        vllm_validation_repeats=1,
        vllm_validation_quality=True,
        vllm_validation_objectives=GENEROUS,
        **THROUGH_THE_GATEWAY,
    )
    await_load("mini", play)
    # Written so that the search does not find itself.
    pattern = f"[{CANARY[0]}]{CANARY[1:]}"
    assert site.run(f"grep --files-with-matches --text '{pattern}' /proc/[0-9]*/cmdline", check=False) == ""
    shown = site.run("systemctl show vllm-benchmark-mini")
    assert CANARY not in shown
    assert "User=vllm" in shown
    assert "IPAddressDeny=0.0.0.0/0 ::/0" in shown
    ended = play.wait()
    assert ended.status == 0, ended.output
    assert CANARY not in ended.output
    assert "24 requests answered" in ended.output, "progress is shown"
    assert site.run("ls /run/vllm-benchmark", check=False) == "", "no load is left behind"
    (made,) = runs()
    assert CANARY not in json.dumps(made)
    schema = json.loads((ROOT / "docs" / "schemas" / "result.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(made)
    assert [one["service"] for one in made["services"]] == ["mini", "micro"]
    for one in made["services"]:
        assert [request["status"] for request in one["requests"]] == ["completed"] * len(one["requests"])
        assert 1 <= len(one["requests"]) <= 24
        assert {request["tokens_out"] for request in one["requests"]} == {24}
        assert one["load"]["through"] == "gateway"
        # The watchdog's own tokens may be among them.
        assert 0 <= one["engine"]["generation_tokens"] - 24 * len(one["requests"]) < 24
        assert one["engine"]["ttft_mean_seconds"] > 0
        # Random weights know nothing of any text: their perplexity is about the number of tokens that they know.
        assert 100 < one["quality"]["perplexity_short"] < 2000
        assert 100 < one["quality"]["perplexity_long"] < 2000
        assert [len(answer) for answer in one["quality"]["greedy_tokens"]] == [32] * 6
    (node,) = made["memory"]
    assert len(node["samples"]) >= 2
    assert 0 < max(size for _seconds, size in node["samples"]) <= node["total_bytes"]
    assert made["incidents"] == []
    found = suites()
    assert (found.get("tests"), found.get("failures"), found.get("errors")) == (str(len(GENEROUS)), "0", "0")
    assert_shows(MEASURED / "validation.html", plots=4)  # the latencies of each, tokens/s, memory
    assert json.loads((MEASURED / "validation.json").read_text())["passed"] is True


def test_an_allocation_that_fails_and_a_wedge_in_a_soak_are_counted_once_each_and_fail_the_objectives() -> None:
    objectives = [
        {"service": "micro", "scenario": "soak", "metric": "out_of_memory_per_1000_requests", "max": 0},
        {"service": "mini", "scenario": "soak", "metric": "out_of_memory_per_1000_requests", "max": 0},
        {"service": "micro", "scenario": "soak", "metric": "requests_per_second", "min": 1000000},
    ]
    play = site.start(
        "playbooks/validate.yml",
        vllm_validation_scenarios=["soak"],
        vllm_validation_loads={
            "soak": {**SMALL, "requests_per_second": 2, "requests": 90, "seconds": 45, "together": True}
        },
        vllm_validation_repeats=1,
        vllm_validation_objectives=objectives,
    )
    for service in ("mini", "micro"):
        await_load(service, play)
    time.sleep(4)  # some requests come to their end
    site.run(f"kill -STOP {process('mini', 'VLLM::EngineCor')}")
    starve_micro()
    ended = play.wait(900)  # both engines start again, the one after the other
    assert ended.status != 0, ended.output
    assert "validation misses 2 of 3 objectives" in ended.flat, ended.output
    made = runs()[-1]
    incidents = sorted((one["service"], one["kind"]) for one in made["incidents"])
    assert incidents == [("micro", "out_of_device_memory"), ("mini", "wedged")], made["incidents"]
    assert {one["service"]: one["restarts"] for one in made["services"]} == {"mini": 1, "micro": 1}
    for one in made["services"]:
        statuses = {request["status"] for request in one["requests"]}
        assert "completed" in statuses, "before the fault"
        assert statuses & {"failed", "aborted"}, "because of it"
        assert (one["load"]["mode"], one["load"]["through"]) == ("open", "direct")
    found = suites()
    assert (found.get("tests"), found.get("failures"), found.get("errors")) == ("3", "2", "0")
    failed = [case.get("name") for case in found.iter("testcase") if case.find("failure") is not None]
    assert failed == ["out_of_memory_per_1000_requests at most 0", "requests_per_second at least 1e+06"]
    assert all(service["healthy"] for service in site.info()["services"]), "what was measured serves again"
    assert len(runs()) == 2


def test_a_second_validation_shows_the_first_as_a_trend() -> None:
    ended = site.play(
        "playbooks/validate.yml",
        vllm_validation_scenarios=["mixed"],
        vllm_validation_loads={"mixed": SMALL},
        vllm_validation_repeats=1,
    )
    assert ended.status == 0, ended.output
    assert len(runs()) == 3
    assert "On this host so far" in (MEASURED / "validation.html").read_text()
    assert_shows(MEASURED / "validation.html", plots=6)  # and the trend of each


def test_two_layouts_are_compared_behind_the_gateway_which_loses_no_request_to_their_changes() -> None:
    served, neighbour = site.info()["generation"], site.pids()["vllm@mini.service"]
    ended = site.start(
        "playbooks/compare.yml",
        vllm_experiment_before={},
        vllm_experiment_after={"changes": {"micro": {"max_num_seqs": 4}}},
        vllm_experiment_services=["micro"],
        vllm_experiment_rounds=1,
        vllm_experiment_quality=False,
        vllm_experiment_directory=str(MEASURED),
        vllm_validation_loads={"standard": SMALL},
        # What stops leaves the gateway first, and what is measured is back in it.
        vllm_services_gateways=["validation"],
        **THROUGH_THE_GATEWAY,
    ).wait(600)
    assert ended.status == 0, ended.output
    report = json.loads((MEASURED / "compare-validation.json").read_text())
    assert {run["side"] for run in report["runs"]} == {"before", "after"}
    for run in report["runs"]:
        (one,) = run["services"]
        assert (one["service"], one["load"]["through"], one["restarts"]) == ("micro", "gateway", 0)
        assert {request["status"] for request in one["requests"]} == {"completed"}
    assert len({run["environment"]["generation"] for run in report["runs"]}) == 2
    found = site.info()
    assert (found["generation"], site.pids()["vllm@mini.service"]) == (served, neighbour)
    assert all(service["healthy"] for service in found["services"])


def test_what_is_no_service_of_the_host_is_refused_before_any_load() -> None:
    refused = site.play(
        "playbooks/validate.yml",
        vllm_validation_services=["maxi"],
        vllm_validation_gateway="",
        vllm_validation_repeats=1,
    )
    assert refused.status != 0
    assert "the active generation has no service maxi; it has mini, micro" in refused.flat
    elsewhere = site.play("playbooks/validate.yml", vllm_validation_gateway="example.org", vllm_validation_repeats=1)
    assert elsewhere.status != 0
    assert "vllm_validation_gateway is 'example.org', and the group vllm_gateway has validation" in elsewhere.flat
    assert len(runs()) == 3
