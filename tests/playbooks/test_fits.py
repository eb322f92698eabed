# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that says whether a model fits, as a user runs it: without an inventory, and with the tests' hub."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._model.checkpoint import CONFIG
from ansible_collections.llmops.inference.plugins.module_utils._model.model import checkpoint_from_geometry
from ansible_collections.llmops.inference.tests.playbooks.command import ansible
from ansible_collections.llmops.inference.tests.tools.environments import ROOT
from ansible_collections.llmops.inference.tests.unit.scene import TINY, named_tensors, write_safetensors

TOKEN = "hf_of-the-test"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory with a complete small model."""
    made = tmp_path / "models" / "tiny"
    made.mkdir(parents=True)
    (made / CONFIG).write_text(json.dumps(TINY))
    tensors = named_tensors(checkpoint_from_geometry(TINY).tensors, TINY["num_hidden_layers"])
    write_safetensors(made / "model.safetensors", tensors)
    return made


@pytest.fixture
def hub(model: Path) -> Iterator[str]:
    """The address of a hub that has the model, as ``small/tiny``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "tests/testbed/hub.py"), str(model.parent), "small", TOKEN, str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        for _attempt in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


def fits(
    tmp_path: Path, model: object, gpu: str = "2 x RTX 4090", status: int = 0, **environment: str
) -> tuple[str, dict[str, Any]]:
    """Run the playbook as documented; return what it says and the whole answer."""
    files = {"fits_html": tmp_path / "fits.html", "fits_json": tmp_path / "fits.json"}
    extra = [word for name, path in files.items() for word in ("-e", f"{name}={path}")]
    command = ["ansible-playbook", "llmops.inference.fits", "-e", f"model={model}", "-e", f"gpu={gpu}", *extra]
    said = " ".join(ansible(*command, environment=environment, status=status).split())
    assert TOKEN not in said
    answer = files["fits_json"]
    return said, json.loads(answer.read_text()) if answer.exists() else {}


def test_a_directory_and_its_config_alone_fit(model: Path, tmp_path: Path) -> None:
    said, whole = fits(tmp_path, model)
    assert f"{model} on 2 x RTX 4090: fits." in said
    assert "USERS AT A TIME LONGEST CONTEXT EACH - 1 40960 tokens" in said
    assert "NVIDIA GeForce RTX 4090" in (tmp_path / "fits.html").read_text()
    assert (whole["plan"]["fits"], whole["model"]["weights"], len(whole["topology"]["gpus"])) == (True, "exact", 2)
    said, alone = fits(tmp_path, model / CONFIG)
    assert (alone["model"]["source"], alone["model"]["weights"]) == ("config", "estimated")
    assert "Weights: estimated from config.json" in said


def test_a_model_of_a_hub_fits_as_its_directory_does(model: Path, hub: str, tmp_path: Path) -> None:
    _said, local = fits(tmp_path, model)
    said, remote = fits(tmp_path, "small/tiny", HF_ENDPOINT=hub, HF_TOKEN=TOKEN)
    assert "vllm serve small/tiny --tensor-parallel-size 2" in said
    assert remote["model"]["source"] == "hub"
    assert remote["contexts"] == local["contexts"]
    assert remote["plan"]["services"][0]["fingerprint"] == local["plan"]["services"][0]["fingerprint"]


def test_a_hub_that_does_not_show_the_model_fails_in_one_sentence(hub: str, tmp_path: Path) -> None:
    said, whole = fits(tmp_path, "small/tiny", status=2, HF_ENDPOINT=hub, HF_TOKEN="wrong")
    assert "has no model small/tiny, or does not show it: check the name, or set HF_TOKEN" in said
    said, whole = fits(tmp_path, "small/absent", status=2, HF_ENDPOINT=hub, HF_TOKEN=TOKEN)
    assert "has no model small/absent" in said
    assert not whole


def test_a_model_that_does_not_fit_fails_with_its_bytes_and_still_writes_the_answer(tmp_path: Path) -> None:
    large = {**TINY, "hidden_size": 8192, "num_hidden_layers": 80, "intermediate_size": 28672, "vocab_size": 128256}
    file = tmp_path / "large.json"
    file.write_text(json.dumps(large))
    said, whole = fits(tmp_path, file, "RTX 3060", status=2)
    assert "does not fit" in said
    assert whole["plan"]["refusals"][0]["needed_bytes"] > whole["plan"]["refusals"][0]["available_bytes"]


def test_a_card_that_is_not_known_fails_with_the_nearest(model: Path, tmp_path: Path) -> None:
    said, _whole = fits(tmp_path, model, "2 x RTX 4091", status=2)
    assert "no card is called 'RTX 4091'; did you mean RTX 4090" in said
