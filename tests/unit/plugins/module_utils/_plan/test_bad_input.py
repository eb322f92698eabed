# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a file or an inventory says: a plan, or a refusal that fits on a screen, within a second.

Sound documents are spoiled in one to three places, at random, and go the whole way to a plan. ``CORPUS`` keeps
what once got through and broke something behind.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._model.checkpoint import CONFIG, INDEX, read_checkpoint
from ansible_collections.llmops.inference.plugins.module_utils._model.model import checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan, Settings
from ansible_collections.llmops.inference.plugins.module_utils._plan.planner import plan
from ansible_collections.llmops.inference.tests.unit.scene import (
    GIB,
    QWEN3_8B,
    TINY,
    YARN,
    box,
    gpus,
    models,
    parsed,
    planned,
    reference_layout,
    service,
)
from hypothesis import given
from hypothesis import strategies as st

Place = tuple[Any, ...]

LONGEST_MESSAGE = 20_000  # characters: a layout's mistakes are listed, up to 100 of them

NUMBERS: list[Any] = [0, -1, 1, 2, 1 << 31, 1 << 63, 10**30, -(10**30), -0.5, 1e308, math.nan, math.inf, -math.inf]
TEXTS: list[Any] = ["", "0", "-1", "nan", "1e400", "9" * 30, "x" * 10_000, "\0", "\ud800", "\u0663", "../x"]
SHAPES: list[Any] = [None, True, False, [], {}, [[]], [None], {"a": None}, [1] * 5, {1: 2}, b"x", ["x"], [math.nan]]
WRONG = st.sampled_from([*NUMBERS, *TEXTS, *SHAPES])


def places(value: Any, above: Place = ()) -> Iterator[Place]:
    """Every place in a document, the document itself first."""
    yield above
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*above, key))


def spoiled(value: Any, place: Place, wrong: Any) -> Any:
    """A copy of a document with something else in one place."""
    if not place:
        return wrong
    copy = value.copy()
    copy[place[0]] = spoiled(value[place[0]], place[1:], wrong)
    return copy


@st.composite
def documents(draw: st.DrawFn, sound: Any) -> Any:
    """A sound document, spoiled in one to three places."""
    result = sound
    for _place in range(draw(st.integers(1, 3))):
        result = spoiled(result, draw(st.sampled_from(list(places(result)))), draw(WRONG))
    return result


def outcome(take: Callable[[Any], object], document: Any) -> str | None:
    """The refusal of a document, None where it was taken; anything else that is raised fails the test."""
    started = time.process_time()
    try:
        take(document)
        refusal = None
    except InferenceError as error:
        refusal = str(error)
        assert refusal.encode("utf-8")
        assert len(refusal) < LONGEST_MESSAGE
    assert time.process_time() - started < 1
    return refusal


def plan_model(geometry: Any) -> None:
    known = checkpoint_from_geometry(geometry)
    services = parsed([service("a"), service("b", gpus={"count": 2}, rope=YARN)])
    as_json(plan(services, box(80, 80), {"a": known, "b": known}, Settings()))


def plan_layout(layout: Any) -> None:
    services = parse_layout(layout)
    as_json(plan(services, box(80, 80, 80), models(services), Settings(), suggest=False))


def plan_gpus(topology: Any) -> None:
    as_json(planned(reference_layout(), Topology.from_dict(topology), suggest=False))


def plan_nodes(topology: Any) -> None:
    as_json(planned([service("a")], Topology.from_dict(topology), suggest=False, accelerator="cpu"))


def as_json(made: Plan) -> None:
    json.dumps(made.to_dict(), allow_nan=False)


def read_plan(data: Any) -> None:
    found = json.loads(json.dumps(data, default=str, skipkeys=True))
    assert Plan.from_dict(json.loads(json.dumps(Plan.from_dict(found).to_dict()))) == Plan.from_dict(found)


GEOMETRY: dict[str, Any] = {
    **QWEN3_8B,
    "architectures": ["Qwen3ForCausalLM"],
    "rope_parameters": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 100, "rope_theta": 1e6},
    "sliding_window": 100,
    "layer_types": ["sliding_attention"] * 36,
    "use_sliding_window": True,
    "num_experts": 8,
    "moe_intermediate_size": 100,
    "mlp_only_layers": [1],
    "decoder_sparse_step": 1,
    "kv_lora_rank": 5,
    "quantization_config": {"quant_method": "fp8", "bits": 8, "group_size": 128, "weight_block_size": [128, 128]},
    "kv_bytes_per_token": 6,
    "text_config": {"hidden_size": 4096},
}
AWQ = {**QWEN3_8B, "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}
LAYOUT = [
    service(
        "mini",
        TINY,
        gpus=[2],
        rope=YARN,
        memory_weight=1.5,
        gpu_memory_utilization=0.4,
        host="127.0.0.1",
        kv_cache_dtype="auto",
        max_num_seqs=4,
        engine_args={"enforce-eager": True, "block-size": 16, "dtype": "auto"},
        environment={"A": "b"},
        secret_environment={"C": "d"},
        memory_max="64G",
    ),
    service("micro", TINY, gpus={"count": 2}, max_model_len=1000),
]
TOPOLOGY = {
    **box(80, 80).to_dict(),
    "numa_nodes": [{"index": 0, "memory_total_bytes": 64 * GIB, "memory_free_bytes": GIB, "cpus": [0, 1]}],
}
PLAN = planned(reference_layout(), box(24, 24, 24)).to_dict()

CORPUS: list[tuple[Callable[[Any], object], Any]] = [
    (plan_model, spoiled(GEOMETRY, ("rope_parameters",), {"full_attention": 7})),
    (plan_model, spoiled(GEOMETRY, ("quantization_config", "weight_block_size"), [-1, 128])),
    (plan_model, spoiled(AWQ, ("quantization_config", "bits"), 1 << 31)),
    (plan_model, spoiled(AWQ, ("quantization_config", "bits"), 64)),
    (plan_model, spoiled(QWEN3_8B, ("architecture",), "x" * 10_000)),
    (plan_layout, spoiled(LAYOUT, (0, "engine_args", "block-size"), -1)),
    (plan_layout, spoiled(LAYOUT, (0, "engine_args", "block-size"), 10**18)),
    (plan_layout, spoiled(LAYOUT, (0, "name"), "x" * 100_000)),
    (plan_layout, spoiled(LAYOUT, (0, "host"), "x" * 100_000)),
    (plan_layout, spoiled(LAYOUT, (0, "kv_cache_dtype"), "x" * 100_000)),
    (plan_layout, spoiled(LAYOUT, (0, "environment"), {f"-{number}": "x" for number in range(10_000)})),
    (plan_layout, spoiled(LAYOUT, (0,), {f"key{number}": "x" for number in range(10_000)})),
    (plan_nodes, spoiled(TOPOLOGY, ("numa_nodes", 0, "memory_total_bytes"), 0)),
    (plan_gpus, spoiled(TOPOLOGY, ("gpus",), [{"index": number} for number in range(1_000_000)])),
    (read_plan, []),
    (read_plan, spoiled(PLAN, ("services",), None)),
    (read_plan, spoiled(PLAN, ("services",), "x")),
    (read_plan, spoiled(PLAN, ("devices", 0), [None])),
    (read_plan, spoiled(PLAN, ("devices", 0, "services"), 7)),
    (read_plan, spoiled(PLAN, ("refusals",), [None])),
    (read_plan, spoiled(PLAN, ("gpu_memory_budget",), math.nan)),
]


@pytest.mark.parametrize(("take", "document"), CORPUS, ids=lambda value: getattr(value, "__name__", "spoiled"))
def test_what_once_broke_something_is_refused_or_planned(take: Callable[[Any], object], document: Any) -> None:
    outcome(take, document)


def test_the_documents_are_sound_before_they_are_spoiled() -> None:
    assert [outcome(plan_model, geometry) for geometry in (GEOMETRY, AWQ)] == [None, None]
    assert outcome(plan_layout, LAYOUT) is None
    assert outcome(plan_gpus, TOPOLOGY) is None
    assert outcome(plan_nodes, TOPOLOGY) is None
    assert outcome(read_plan, PLAN) is None


@given(documents(GEOMETRY) | documents(AWQ) | documents(QWEN3_8B))
def test_a_spoiled_model_is_refused_or_planned(geometry: Any) -> None:
    outcome(plan_model, geometry)


@given(documents(LAYOUT))
def test_a_spoiled_layout_is_refused_or_planned(layout: Any) -> None:
    outcome(plan_layout, layout)


@given(documents(TOPOLOGY))
def test_a_spoiled_topology_is_refused_or_planned(topology: Any) -> None:
    outcome(plan_gpus, topology)
    outcome(plan_nodes, topology)


@given(documents(PLAN))
def test_a_spoiled_plan_is_refused_or_read(data: Any) -> None:
    outcome(read_plan, data)


@pytest.mark.parametrize("key", ["accelerator", "gpu_memory_budget", "on_overcommit", "reserve_bytes"])
@pytest.mark.parametrize("value", [math.nan, -1, "x" * 10_000, None, [], 10**30, True])
def test_settings_that_are_none_are_refused(key: str, value: Any) -> None:
    def take(found: Any) -> None:
        as_json(planned(reference_layout(), box(80, 80, 80), suggest=False, **{key: found}))

    outcome(take, value)
    if value != 10**30:  # so much may be asked to stay free; then nothing fits
        assert outcome(take, value) is not None


HEADER = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]},
    "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
}
FILES = {"config": QWEN3_8B, "header": HEADER, "index": {"weight_map": {"a": "m.safetensors", "b": "m.safetensors"}}}


def write_model(directory: Path, files: Mapping[str, Any]) -> None:
    """Write a model directory from the JSON of its three files; a header's own length is right."""
    texts = {name: json.dumps(content, default=str, skipkeys=True).encode() for name, content in files.items()}
    (directory / CONFIG).write_bytes(texts["config"])
    (directory / INDEX).write_bytes(texts["index"])
    header = texts["header"]
    (directory / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))


@given(documents(FILES).filter(lambda files: isinstance(files, dict) and set(files) == set(FILES)))
def test_a_spoiled_checkpoint_is_refused_or_read(files: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        write_model(Path(directory), files)
        outcome(lambda path: read_checkpoint(path).rank_weights(2), directory)


def test_a_link_to_a_shard_is_a_shard(tmp_path: Path) -> None:
    write_model(tmp_path, FILES)
    (tmp_path / "m.safetensors").rename(tmp_path / "blob")
    (tmp_path / "m.safetensors").symlink_to("blob")
    assert outcome(read_checkpoint, str(tmp_path)) is None


@pytest.mark.parametrize("name", [CONFIG, INDEX, "m.safetensors"])
def test_a_pipe_in_a_models_place_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    write_model(tmp_path, FILES)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    refusal = outcome(read_checkpoint, str(tmp_path))
    assert refusal is not None
    assert name in refusal


@pytest.mark.parametrize("name", ["x" * 300, "\ud800", "a\nb"])
def test_an_index_cannot_name_what_no_file_can_be_called(tmp_path: Path, name: str) -> None:
    write_model(tmp_path, {**FILES, "index": {"weight_map": {"a": name}}})
    assert "no name of a file" in (outcome(read_checkpoint, str(tmp_path)) or "")


def test_an_index_of_many_absent_files_is_refused_in_a_line(tmp_path: Path) -> None:
    absent = {f"t{number}": f"{number}.safetensors" for number in range(100_000)}
    write_model(tmp_path, {**FILES, "index": {"weight_map": absent}})
    refusal = outcome(read_checkpoint, str(tmp_path)) or ""
    assert "100000 of them are absent" in refusal
    assert len(refusal) < 1000


def test_a_header_of_two_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    write_model(tmp_path, FILES)
    with (tmp_path / "m.safetensors").open("r+b") as stream:
        stream.write((2 << 30).to_bytes(8, "little"))
        stream.truncate(3 << 30)
    assert peak(lambda: outcome(read_checkpoint, str(tmp_path))) < 1 << 20


def test_a_million_services_take_no_memory_but_their_own() -> None:
    services: Sequence[Any] = [{}] * 1_000_000
    assert peak(lambda: outcome(parse_layout, services)) < 1 << 20


def peak(call: Callable[[], object]) -> int:
    """The most bytes that were allocated at once during a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_most_services_on_the_most_gpus_are_planned_within_seconds() -> None:
    layout = [service(f"s{number:03}", TINY, max_model_len=1000) for number in range(256)]
    for number, item in enumerate(layout):
        item["port"] = 2000 + number
    topology = Topology.from_dict({"gpus": gpus(*[80] * 256)})
    started = time.process_time()
    made = planned(layout, topology, suggest=False)
    assert made.fits
    assert time.process_time() - started < 10
