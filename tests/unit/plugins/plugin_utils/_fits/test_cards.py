# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards by the names that people give them."""

from __future__ import annotations

import json
from itertools import groupby

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._values import MIB
from ansible_collections.llmops.inference.plugins.plugin_utils._fits.card_table import CARDS, Card
from ansible_collections.llmops.inference.plugins.plugin_utils._fits.cards import parse_cards
from ansible_collections.llmops.inference.plugins.plugin_utils._fits.machine import machine
from ansible_collections.llmops.inference.tests.tools.environments import ROOT


def named(text: str) -> list[tuple[int, str]]:
    """Return how often each card is named, in order."""
    return [(len(list(group)), label) for label, group in groupby(card.label for card in parse_cards(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4090", [(1, "RTX 4090")]),
        ("RTX4090", [(1, "RTX 4090")]),
        ("rtx 4090", [(1, "RTX 4090")]),
        ("2x4090", [(2, "RTX 4090")]),
        ("2 x RTX 4090", [(2, "RTX 4090")]),
        ("4090 x 2", [(2, "RTX 4090")]),
        ("2 4090", [(2, "RTX 4090")]),
        ("2 × NVIDIA GeForce RTX 4090", [(2, "RTX 4090")]),
        ("2 x RTX 4090, 1 x RTX 3090", [(2, "RTX 4090"), (1, "RTX 3090")]),
        ("RTX 3060 12GB", [(1, "RTX 3060")]),
        ("4060ti 16 GB", [(1, "RTX 4060 Ti 16GB")]),
        ("A100 80GB", [(1, "A100 80GB")]),
        ("NVIDIA A100-SXM4-80GB", [(1, "A100 80GB")]),
        ("8 x H100 SXM", [(8, "H100")]),
        ("6000 Ada", [(1, "RTX 6000 Ada")]),
        ("2 6000 Ada", [(2, "RTX 6000 Ada")]),
        ("Tesla T4 + L4", [(1, "T4"), (1, "L4")]),
        ("gb10", [(1, "DGX Spark")]),
    ],
)
def test_a_card_is_found_however_its_name_is_written(text: str, expected: list[tuple[int, str]]) -> None:
    assert named(text) == expected


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.label)
def test_every_card_is_found_by_its_label(card: Card) -> None:
    assert parse_cards(card.label) == (card,)
    assert parse_cards(f"3 x {card.label.lower()}") == (card,) * 3


def test_a_card_that_is_not_known_comes_with_the_nearest_and_a_way_out() -> None:
    with pytest.raises(InferenceError, match=r"'RTX 4091'; did you mean RTX 4090.*gpu_memory=24564MiB"):
        parse_cards("2 x RTX 4091")
    with pytest.raises(InferenceError, match=r"no card is called 'Radeon 7900'. For another card, add gpu_memory"):
        parse_cards("Radeon 7900")


def test_a_name_of_several_cards_says_which() -> None:
    with pytest.raises(InferenceError, match="say which of A100 40GB, A100 80GB"):
        parse_cards("2 x A100")
    with pytest.raises(InferenceError, match="say which of RTX 4060 Ti 8GB, RTX 4060 Ti 16GB"):
        parse_cards("4060 Ti")


@pytest.mark.parametrize(
    "text", ["", None, True, ["RTX 4090"], "0 x 4090", "65 x 4090", "99 x 4090, 1 x L4", "x" * 2000]
)
def test_what_names_no_cards_is_refused(text: object) -> None:
    with pytest.raises(InferenceError):
        parse_cards(text)


@pytest.mark.parametrize("memory", ["24564MiB", "24564 mib", 25757220864, "25757220864"])
def test_memory_can_be_stated_for_a_card_of_any_name(memory: object) -> None:
    cards = parse_cards("2 x Foo", memory)
    assert [(card.label, card.total_bytes, card.nvml_source) for card in cards] == [("Foo", 25757220864, "stated")] * 2
    assert parse_cards("2", memory)[1].total_bytes == 25757220864
    assert parse_cards("4090", memory)[0].compute_capability == "8.9"


@pytest.mark.parametrize("memory", ["much", "-1", "0", "12", "1e9", 10**30, "24 GB of it"])
def test_memory_that_is_no_size_is_refused(memory: object) -> None:
    with pytest.raises(InferenceError, match="gpu_memory must be a size"):
        parse_cards("4090", memory)


def test_labels_are_unique_and_no_card_hands_out_more_than_it_has() -> None:
    assert len({card.label for card in CARDS}) == len(CARDS)
    for card in CARDS:
        assert 0 < card.reserved_bytes < 0.08 * card.total_bytes, card.label
        assert card.nvml_source in {"measured", "published"}
        assert card.cuda_source in {"measured", "published", "estimated"}


def test_a_measured_card_is_as_its_recorded_topology() -> None:
    recorded = json.loads((ROOT / "tests/gpu/topologies/h100-80gb.json").read_text())["gpus"][0]
    card = next(card for card in CARDS if card.nvml_source == "measured")
    keys = ("name", "memory_total_bytes", "memory_reserved_bytes", "compute_capability")
    built = machine([card]).to_dict()["gpus"][0]
    assert {key: built[key] for key in keys} == {key: recorded[key] for key in keys}


# The machine


def levels(text: str, bridged: bool = False) -> list[tuple[int, int, str | None, int]]:
    return [(link.a, link.b, link.level, link.nvlink_count) for link in machine(parse_cards(text), bridged).links]


def test_cards_on_a_switch_have_nvlink_and_others_with_a_bridge_only() -> None:
    assert levels("2 x H100") == [(0, 1, "NVLINK", 18)]
    assert levels("2 x RTX 3090") == [(0, 1, None, 0)]
    assert levels("2 x RTX 3090", bridged=True) == [(0, 1, "NVLINK", 4)]
    assert levels("2 x RTX 4090", bridged=True) == [(0, 1, None, 0)]


def test_a_bridge_joins_neighbours_and_not_every_pair() -> None:
    joined = [(a, b) for a, b, level, _count in levels("4 x RTX A6000", bridged=True) if level == "NVLINK"]
    assert joined == [(0, 1), (2, 3)]


def test_geforce_cards_do_not_read_each_others_memory() -> None:
    assert machine(parse_cards("2 x RTX 4090")).links[0].p2p_read == "chipset_not_supported"
    assert machine(parse_cards("2 x RTX 6000 Ada")).links[0].p2p_read == "ok"


def test_memory_shared_with_the_host_is_not_all_for_the_model() -> None:
    gpu = machine(parse_cards("DGX Spark")).gpus[0]
    assert (gpu.memory_used_bytes or 0) >= 8000 * MIB
