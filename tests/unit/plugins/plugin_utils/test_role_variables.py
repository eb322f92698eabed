# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A misspelt variable is an error that names what was probably meant, and no host is contacted for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.inference.plugins.plugin_utils._role_variables import ROLES, misnamed, options_of

COLLECTIONS = next(path for path in sys.path if (Path(path) / "ansible_collections").is_dir())
ROLE_NAMES = sorted(path.name for path in ROLES.iterdir() if (path / "tasks").is_dir())


def test_what_was_probably_meant_is_named() -> None:
    (line,) = misnamed("vllm_services", ["vllm_services_layuot", "vllm_services_profile"])
    assert line.startswith("vllm_services_layuot is no variable of the role vllm_services; did you mean")
    assert "vllm_services_layout?" in line


def test_where_nothing_is_near_all_names_are() -> None:
    (line,) = misnamed("vllm_models", ["vllm_models_zzz"])
    assert all(name in line for name in options_of("vllm_models"))


def test_a_slip_in_the_roles_name_is_found_too() -> None:
    (line,) = misnamed("vllm_services", ["vllm_service_layout"])
    assert line.endswith("did you mean vllm_services_layout?")


@pytest.mark.parametrize(
    "name",
    ["vllm_runtime_version", "vllm_api_key", "vllm_hosts", "vllm_plans", "reference_rope", "__vllm_services_x"],
)
def test_variables_of_others_are_their_own_affair(name: str) -> None:
    assert not misnamed("vllm_services", [name])


def test_what_a_role_sets_itself_is_known() -> None:
    assert not misnamed("vllm_services", ["vllm_services_deployed"], results=["vllm_services_deployed"])
    assert misnamed("vllm_services", ["vllm_services_deployed"])


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_documented_variable_is_known(role: str) -> None:
    assert not misnamed(role, options_of(role))


def results_of(role: str) -> set[str]:
    """Return what the tasks of a role register under a public name."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROLES / role / "tasks").glob("*.yml")]
    tasks = [task for tasks in files for task in tasks or []]
    return {task["register"] for task in tasks if "register" in task and not task["register"].startswith("__")}


def play(role: str, variables: dict[str, Any], tmp_path: Path) -> str:
    """Run a role against a host that nobody can reach, and return what the play says."""
    playbook = tmp_path / "play.yml"
    tasks = [{"hosts": "all", "gather_facts": False, "roles": [{"role": f"llmops.inference.{role}"}]}]
    playbook.write_text(yaml.safe_dump(tasks), encoding="utf-8")
    env = os.environ | {"ANSIBLE_COLLECTIONS_PATH": COLLECTIONS, "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    ran = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            "nowhere.invalid,",
            playbook,
            "-e",
            json.dumps(variables),
        ],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_role_refuses_a_misspelt_variable_before_it_looks_at_the_host(role: str, tmp_path: Path) -> None:
    present: dict[str, Any] = {name: {} for name in results_of(role)} | {f"{role}_misspelt": 1}
    said = play(role, present, tmp_path)
    assert f"{role}_misspelt is no variable of the role {role}" in said
    assert "UNREACHABLE" not in said
    assert not [name for name in results_of(role) if f"{name} is no variable" in said]
