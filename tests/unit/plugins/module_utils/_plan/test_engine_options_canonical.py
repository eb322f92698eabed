# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another order or spelling of the same layout changes no rendered file and no digest.

AWX hands variables over sorted, JSON and templates turn numbers into text and 1 into 1.0: none of that may restart an
engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.llmops.inference.plugins.module_utils._arguments import PLAN_OPTIONS, settings_from
from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import Engine
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File, changed_paths
from ansible_collections.llmops.inference.plugins.module_utils._gpu.health import DEFAULT_ANSWERS
from ansible_collections.llmops.inference.plugins.module_utils._places import Paths
from ansible_collections.llmops.inference.plugins.module_utils._plan.engine_options import canonical
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._plan.planner import plan
from ansible_collections.llmops.inference.plugins.module_utils._render import generation
from ansible_collections.llmops.inference.plugins.module_utils._values import canonical_number
from ansible_collections.llmops.inference.tests.unit import scene
from hypothesis import given
from hypothesis import strategies as st

# Of the flags of vLLM 0.32.0, those that the layouts below use, and which of them its parser reads as one number.
FLAGS = frozenset(
    {
        "uds",
        "enforce-eager",
        "no-enforce-eager",
        "seed",
        "dtype",
        "hf-overrides",
        "swap-space",
        "revision",
        "lora-modules",
    }
)
NUMBERS = frozenset({"seed", "swap-space"})
ENGINE = Engine("0.32.0", "vllm", "cuda", "/opt/vllm/0.32.0", FLAGS, numbers=NUMBERS)
MINORS = {f"GPU-{index:08x}": index + 4 for index in range(3)}

LAYOUT: list[dict[str, Any]] = [
    scene.service(
        "medium",
        scene.QWEN3_32B,
        gpus=[0, 1],
        tensor_parallel_size=2,
        max_model_len=65536,
        rope=scene.YARN,
        allow_from=["10.0.0.0/24", "192.0.2.7"],
        host="10.0.0.5",
        watchdog={"interval": 20, "misses": 4},
        engine_args={
            "enforce-eager": True,
            "dtype": "bfloat16",
            "seed": 7,
            "swap-space": 0.5,
            "revision": "007",
            "lora-modules": ["b=/srv/b", "a=/srv/a"],
            "hf-overrides": {"tie_word_embeddings": False, "scale": 4.0, "layers": [2, 1], "nested": {"b": 1, "a": 2}},
        },
        environment={"OMP_NUM_THREADS": "8", "NCCL_DEBUG": "WARN"},
        secret_environment={"VLLM_API_KEY": "canary", "HF_TOKEN": "another"},
    ),
    scene.service("mini", scene.QWEN3_8B, gpus={"count": 1}, socket=True, memory_weight=2, engine_args={"seed": 1}),
    scene.service("micro", scene.QWEN3_1_7B, gpus="auto", gpu_memory_utilization=0.25, max_num_seqs=64, watchdog=False),
]
HOST: dict[str, Any] = {"gpu_memory_budget": 1, "on_overcommit": "clamp", "engine_version": "0.32.0"}

Spelling = Callable[[Any], Any]


def as_text(value: Any) -> Any:
    """As a template gives it."""
    return str(value)


def lower_text(value: Any) -> Any:
    return str(value).lower()


def as_float(value: Any) -> Any:
    return float(value)


def as_it_is(value: Any) -> Any:
    return value


BOOLEANS: tuple[Spelling, ...] = (as_it_is, as_text, lower_text)
NUMBER: tuple[Spelling, ...] = (as_it_is, as_text, as_float, lambda value: f"{float(value)}")
# Where the engine says nothing of a flag: its text is the same to it, and 1.0 may be another thing than 1.
UNKNOWN: tuple[Spelling, ...] = (as_it_is, as_text)
FLAG_NAMES: tuple[Spelling, ...] = (as_it_is, lambda flag: f"--{flag}", lambda flag: flag.replace("-", "_"))


def shuffled(draw: Any, value: Any) -> Any:
    """The same data with the keys of every dictionary in another order; lists stay as they are."""
    if isinstance(value, Mapping):
        return {key: shuffled(draw, value[key]) for key in draw(st.permutations(list(value)))}
    return [shuffled(draw, item) for item in value] if isinstance(value, list) else value


def flags(draw: Any, stated: Mapping[str, Any]) -> dict[str, Any]:
    said = {}
    for flag, value in stated.items():
        spellings: tuple[Spelling, ...] = (as_it_is,)
        if isinstance(value, bool):
            spellings = BOOLEANS
        elif flag in NUMBERS:
            spellings = NUMBER
        elif isinstance(value, Mapping):
            spellings = (as_it_is, json.dumps)
        said[draw(st.sampled_from(FLAG_NAMES))(flag)] = draw(st.sampled_from(spellings))(value)
    return said


def respelled(draw: Any, service: Mapping[str, Any]) -> dict[str, Any]:
    said = dict(shuffled(draw, service))
    for key, value in said.items():
        if key == "engine_args":
            said[key] = flags(draw, value)
        elif key == "allow_from":
            said[key] = draw(st.permutations(value))
        elif key in ("watchdog", "gpus", "rope") and isinstance(value, Mapping):
            said[key] = {
                name: draw(st.sampled_from((as_it_is,) if isinstance(number, str) else NUMBER))(number)
                for name, number in value.items()
            }
        elif key == "gpus" and isinstance(value, list):
            said[key] = [draw(st.sampled_from((as_it_is, as_text)))(index) for index in value]
        elif isinstance(value, bool):
            said[key] = draw(st.sampled_from(BOOLEANS))(value)
        elif isinstance(value, (int, float)):
            said[key] = draw(st.sampled_from(NUMBER))(value)
    return said


@st.composite
def other_spellings(draw: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The layout and the host's settings as somebody else, or AWX, would have written them."""
    settings = dict(shuffled(draw, HOST))
    settings["gpu_memory_budget"] = draw(st.sampled_from(NUMBER))(settings["gpu_memory_budget"])
    return [respelled(draw, service) for service in LAYOUT], settings


def through_the_module(layout: list[dict[str, Any]], settings: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    """What the module's own argument check makes of the values, as it does on a host."""
    checked = ArgumentSpecValidator(PLAN_OPTIONS).validate({"services": layout, **settings})
    assert not checked.error_messages
    values: dict[str, Any] = checked.validated_parameters
    return values["services"], settings_from(values)


def straight(layout: list[dict[str, Any]], settings: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    """The values as they are, which the layout's own reader takes as well."""
    _none, stated = through_the_module([], settings)
    return layout, stated


def deployed(way: Any, layout: list[dict[str, Any]], settings: Mapping[str, Any]) -> tuple[str, dict[str, File]]:
    """The digest of the inputs and every file that a host gets."""
    services, stated = way(layout, settings)
    parsed = parse_layout(services, "cuda")
    made = plan(parsed, scene.box(80, 80, 80), scene.models(parsed), stated)
    assert made.fits, made.refusals
    box = generation.Box(ENGINE, Paths(), MINORS, DEFAULT_ANSWERS, b"of this host")
    return made.inputs_digest, generation.generation(made, parsed, box, {})


@pytest.mark.parametrize("way", [through_the_module, straight], ids=lambda way: way.__name__)
def test_another_order_or_spelling_keeps_every_file_and_digest(way: Any) -> None:
    digest, files = deployed(way, LAYOUT, HOST)

    @given(other_spellings())
    def keeps(other: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
        other_digest, other_files = deployed(way, *other)
        assert changed_paths(files, other_files) == []
        assert other_digest == digest

    keeps()


def with_flags(**stated: Any) -> dict[str, Any]:
    return {**LAYOUT[0], "engine_args": {**LAYOUT[0]["engine_args"], **stated}}


@pytest.mark.parametrize(
    "changed",
    [
        with_flags(**{"enforce-eager": False}),
        with_flags(seed=8),
        with_flags(revision="7"),
        with_flags(**{"lora-modules": ["a=/srv/a", "b=/srv/b"]}),
        with_flags(**{"hf-overrides": {**LAYOUT[0]["engine_args"]["hf-overrides"], "scale": 4}}),
        with_flags(**{"hf-overrides": {**LAYOUT[0]["engine_args"]["hf-overrides"], "layers": [1, 2]}}),
        {**LAYOUT[0], "gpus": [1, 0]},
        {**LAYOUT[0], "environment": {"OMP_NUM_THREADS": "9", "NCCL_DEBUG": "WARN"}},
        {**LAYOUT[0], "secret_environment": {"VLLM_API_KEY": "canary", "HF_TOKEN": "rotated"}},
    ],
    ids=[
        "flag",
        "number",
        "revision",
        "order of a list",
        "number of the model's",
        "its list",
        "ranks",
        "env",
        "secret",
    ],
)
def test_what_the_engine_would_see_is_a_change(changed: dict[str, Any]) -> None:
    _digest, before = deployed(straight, LAYOUT, HOST)
    _digest, after = deployed(straight, [changed, *LAYOUT[1:]], HOST)
    assert "services/medium/guard.json" in changed_paths(before, after)


@pytest.mark.parametrize(
    "text", ["007", "1e5", "1_000", "0x10", "1.50", "Infinity", "NaN", "yes", "null", "[1, 2]", ""]
)
def test_text_that_the_engine_would_read_otherwise_stays_text(text: str) -> None:
    assert canonical(text) == text


@given(st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.text(), st.booleans()))
def test_the_canonical_form_is_its_own_and_what_the_engine_gets_is_the_same_text(value: Any) -> None:
    once = canonical(value)
    assert canonical(once) == once
    assert type(canonical(once)) is type(once)
    if not isinstance(once, (bool, dict)):
        assert str(once) == str(value), "the engine reads a flag's value as text"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value(value: float) -> None:
    assert canonical_number(value) == value == canonical_number(str(value))
