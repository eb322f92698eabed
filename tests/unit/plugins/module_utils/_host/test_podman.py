# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman's generator of units, whose words are those of 5.4.2, and what containers see of the host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError, NotInstalledError
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import File
from ansible_collections.llmops.inference.plugins.module_utils._host.podman import Podman, refuse_undescribed
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import Service
from ansible_collections.llmops.inference.plugins.module_utils._render import mounts
from ansible_collections.llmops.inference.tests.unit import scene

FILES = {"containers/vllm@mini.container": File("[Container]\n"), "plan.json": File("{}")}
UUID = "GPU-a1f3c0de-0000-4000-8000-000000000002"


class Answers:
    """A host whose commands all end in this way."""

    def __init__(self, status: int, out: str = "", error: str = "") -> None:
        self._answer = (status, out, error)
        self.asked: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> tuple[int, str, str]:
        self.asked.append(list(command))
        return self._answer


def podman(answers: Answers, tmp_path: Path, installed: bool = True) -> Podman:
    generator = tmp_path / "podman-system-generator"
    if installed:
        generator.touch()
    return Podman(answers, str(generator))


def test_quadlets_of_which_units_are_made_are_good(tmp_path: Path) -> None:
    answers = Answers(0, "---vllm@mini.service---\n[Unit]\n", "quadlet-generator[7]: Loading source unit file x\n")
    podman(answers, tmp_path).refuse_quadlets(FILES)
    (command,) = answers.asked
    assert command[0] == "env"
    assert command[-1] == "--dryrun"


def test_one_of_which_no_unit_is_made_is_refused_with_the_generators_words(tmp_path: Path) -> None:
    said = (
        "quadlet-generator[7]: Loading source unit file /tmp/x/vllm@mini.container\n"
        "quadlet-generator[7]: converting \"vllm@mini.container\": unsupported key 'Pulls' in group 'Container' in x\n"
    )
    with pytest.raises(
        InferenceError, match=r"no unit of vllm@mini\.container: .*unsupported key 'Pulls'.* 5\.3 or later"
    ):
        podman(Answers(1, "", said), tmp_path).refuse_quadlets(FILES)


def test_without_quadlets_nobody_is_asked(tmp_path: Path) -> None:
    answers = Answers(1)
    podman(answers, tmp_path).refuse_quadlets({"plan.json": File("{}")})
    assert answers.asked == []


def test_a_podman_without_quadlets_is_refused_with_the_version_that_has_them(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match=r"makes no units of Quadlets .* install Podman 5\.3 or later"):
        podman(Answers(0), tmp_path, installed=False).refuse_missing("sha256:x")


def test_an_image_that_is_gone_is_refused_with_who_brings_it_back(tmp_path: Path) -> None:
    podman(Answers(0), tmp_path).refuse_missing("sha256:x")
    with pytest.raises(NotInstalledError, match="the image sha256:x is not on this host any more; the role"):
        podman(Answers(1), tmp_path).refuse_missing("sha256:x")


def test_a_gpu_that_no_specification_describes_is_refused_with_what_writes_one(tmp_path: Path) -> None:
    directories = (str(tmp_path), str(tmp_path / "none"))
    with pytest.raises(InferenceError, match=f"names nvidia.com/gpu={UUID}; install .* 'nvidia-ctk cdi generate"):
        refuse_undescribed([UUID], directories)
    (tmp_path / "nvidia.yaml").write_text(f'kind: nvidia.com/gpu\ndevices:\n- name: "0"\n- name: {UUID}\n')
    refuse_undescribed([UUID], directories)
    with pytest.raises(InferenceError, match=UUID[:-1]):
        refuse_undescribed([UUID[:-1]], directories)


def service(model: Path, **keys: Any) -> Service:
    (parsed,) = scene.parsed([{**scene.service("mini"), "model": str(model), **keys}])
    return parsed


def test_a_container_sees_its_model_and_what_its_flags_name(tmp_path: Path) -> None:
    model = tmp_path / "mini"
    model.mkdir()
    template, draft = tmp_path / "chat.jinja", tmp_path / "draft"
    template.touch()
    draft.mkdir()
    flags = {
        "chat-template": str(template),
        "speculative-config": {"model": str(draft), "num_speculative_tokens": 3},
        "root-path": "/no/such/path",
        "tokenizer": str(model / "tokenizer"),
    }
    assert mounts.read_only(service(model, engine_args=flags)) == (str(model), str(template), str(draft))


def test_a_container_sees_what_the_files_of_its_model_are_links_to(tmp_path: Path) -> None:
    blobs, model = tmp_path / "blobs", tmp_path / "snapshots/main"
    blobs.mkdir()
    model.mkdir(parents=True)
    (blobs / "4f1e").touch()
    (model / "config.json").symlink_to("../../blobs/4f1e")
    (model / "tokenizer.json").touch()
    assert mounts.read_only(service(model)) == (str(model), str(blobs))
