# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment: its definition, an image of it on Debian's Python, and a job inside that image."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmops.inference.tests.awx.awx_job import BIN, Awx
from ansible_collections.llmops.inference.tests.awx.recorded import record_reference_box
from ansible_collections.llmops.inference.tests.tools.environments import CACHE, ROOT, copy_checkout
from ansible_collections.llmops.inference.tests.unit.measured import eventful

DIRECTORY = ROOT / "execution-environment"
IMAGE = "localhost/llmops-inference/ee:test"
PACKAGES = ["ansible-core>=2.19,<2.22", "ansible-runner>=2.4"]
# What reports need beside them.
REPORTS = ["scipy", "matplotlib"]


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    ran = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def build_package(destination: Path) -> None:
    checkout = destination / "checkout"
    copy_checkout(checkout)
    run(BIN / "ansible-galaxy", "collection", "build", checkout, "--output-path", destination)
    shutil.rmtree(checkout)


def test_ansible_builder_accepts_the_definition(tmp_path: Path) -> None:
    run(BIN / "ansible-builder", "create", "--context", tmp_path / "context", cwd=DIRECTORY)
    made = (tmp_path / "context" / "Containerfile").read_text(encoding="utf-8")
    for package in PACKAGES:
        assert package in made


def test_ansible_builder_finds_what_the_collection_needs(tmp_path: Path) -> None:
    build_package(tmp_path)
    (package,) = tmp_path.glob("*.tar.gz")
    galaxy = BIN / "ansible-galaxy"
    run(galaxy, "collection", "install", "--offline", "--force", "--collections-path", tmp_path, package)
    needs = yaml.safe_load(run(BIN / "ansible-builder", "introspect", tmp_path))
    assert [line.split(">=")[0] for line in needs["python"]] == REPORTS
    assert [line.split()[0] for line in needs["system"]] == ["openssh-clients", "openssh-client"]


def test_both_ways_to_build_install_the_same() -> None:
    definition = yaml.safe_load((DIRECTORY / "execution-environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert [definition["ansible_core"]["package_pip"], definition["ansible_runner"]["package_pip"]] == PACKAGES
    recipe = (DIRECTORY / "Debian.Containerfile").read_text(encoding="utf-8")
    assert all(f"'{package}'" in recipe for package in PACKAGES)
    assert "--requirement /tmp/ee-requirements.txt" in recipe


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image, built as Debian.Containerfile says on this machine's own base."""
    context = tmp_path_factory.mktemp("context")
    wheels = CACHE / "ee-wheels"
    download = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--dest", str(wheels)]
    # The image's Python, Debian 13's.
    requirements = ROOT / "ee-requirements.txt"
    run(*download, "--only-binary", ":all:", "--python-version", "3.13", *PACKAGES, "--requirement", requirements)
    shutil.copytree(wheels, context / "wheels")
    for file in (DIRECTORY / "Debian.Containerfile", requirements):
        shutil.copy2(file, context)
    build_package(context)
    base = run(ROOT / "tests" / "testbed" / "base-image", "trixie").strip()
    # Not the runtime's isolation: it raises limits, which a user or a container may not.
    build = ["podman", "build", "--quiet", "--isolation=chroot", "--build-arg", f"BASE={base}", "--tag", IMAGE]
    run(*build, "--file", context / "Debian.Containerfile", context)
    yield IMAGE
    run("podman", "image", "rm", "--force", IMAGE)


def test_a_job_runs_inside_the_image(image: str, tmp_path: Path) -> None:
    awx = Awx(tmp_path / "runner", ROOT / "inventories" / "reference" / "hosts.yml", image=image)
    job = awx.launch("vLLM plan", prompted=awx.within(record_reference_box(awx.directory / "recorded")))
    assert job.status == "successful", job.output
    assert job.artifacts["vllm_plans"]["gpu-box"]["fits"] is True


def test_a_report_is_drawn_inside_the_image(image: str, tmp_path: Path) -> None:
    runs = tmp_path / "runs.json"
    runs.write_text(json.dumps([run.to_dict() for run in eventful()]), encoding="utf-8")
    drawn = run(
        *["podman", "run", "--rm", "--network=none", "--privileged", f"--volume={runs}:/runner/runs.json:ro", image],
        *["ansible", "localhost", "-m", "ansible.builtin.debug", "-a"],
        "msg={{ lookup('file', '/runner/runs.json') | from_json | llmops.inference.result_report"
        " | llmops.inference.report_html }}",
    )
    assert "<svg" in drawn


def test_the_collection_is_in_the_image_for_those_who_have_no_checkout(image: str) -> None:
    listed = run(
        "podman", "run", "--rm", "--network=none", "--privileged", image, "ansible-doc", "--list", "llmops.inference"
    )
    assert "llmops.inference.vllm_deployment" in listed
