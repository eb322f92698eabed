# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as Galaxy gives it to a user: built, installed into an empty path, and used from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmops.inference.tests.tools.environments import ROOT, copy_checkout, environment

BIN = Path(sys.executable).parent
# What a package may hold, by the first part of its path.
CONTENT = {
    *("MANIFEST.json", "FILES.json", "README.md", "LICENSE", "CHANGELOG.rst", "ee-bindep.txt", "ee-requirements.txt"),
    *("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"),
    *("awx", "changelogs", "docs", "execution-environment", "inventories", "meta", "playbooks", "plugins", "roles"),
}
# What lies around in a checkout that somebody works in.
LEFT_AROUND = (".venv/pyvenv.cfg", ".mypy_cache/1", "build/log", "plan.html", "plugins/modules/__pycache__/m.pyc")
LARGEST_PACKAGE = 850_000
# Galaxy's own list of all files grows with their number.
LARGEST_FILE = 100_000
TOPOLOGY = ROOT / "tests" / "gpu" / "topologies" / "h100-80gb.json"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tarball that ansible-galaxy builds of a checkout in use."""
    directory = tmp_path_factory.mktemp("package")
    checkout = directory / "checkout"
    copy_checkout(checkout)
    for name in LEFT_AROUND:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    build = [str(BIN / "ansible-galaxy"), "collection", "build", str(checkout), "--output-path", str(directory)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (tarball,) = directory.glob("*.tar.gz")
    return tarball


@pytest.fixture(scope="session")
def user(package: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user who has nothing but ansible-core and the installed package."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))}
    collections = str(home / "collections")
    env = kept | {
        "HOME": str(home),
        "ANSIBLE_COLLECTIONS_PATH": collections,
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_NOCOLOR": "1",
    }
    install = ["ansible-galaxy", "collection", "install", "--offline", "--collections-path", collections, str(package)]
    subprocess.run([str(BIN / install[0]), *install[1:]], check=True, capture_output=True, text=True, env=env, cwd=home)
    return env


def run(user: dict[str, str], *command: str) -> str:
    """Run a command of Ansible in the user's empty home and return what it says."""
    ran = subprocess.run(
        [BIN / command[0], *command[1:]], env=user, cwd=user["HOME"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def documentation(user: dict[str, str], kind: str) -> dict[str, Any]:
    names = json.loads(run(user, "ansible-doc", "--json", "--type", kind, "--list", "llmops.inference"))
    documented: dict[str, Any] = json.loads(run(user, "ansible-doc", "--json", "--type", kind, *names))
    return documented


def names_in(directory: str, pattern: str) -> set[str]:
    return {f"llmops.inference.{path.stem}" for path in (ROOT / directory).glob(pattern) if path.stem != "__init__"}


def test_the_package_holds_what_a_user_needs_and_nothing_else(package: Path) -> None:
    with tarfile.open(package) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
    assert {Path(member.name).parts[0] for member in files} - {"CHANGELOG.rst"} == CONTENT - {"CHANGELOG.rst"}
    assert not [member.name for member in files if "__pycache__" in member.name or member.name.endswith(".html")]
    assert {member.name for member in files if member.name.startswith("changelogs/")} == {"changelogs/changelog.yaml"}
    assert not [
        (member.name, member.size) for member in files if member.size > LARGEST_FILE and member.name != "FILES.json"
    ]


def test_the_package_is_small(package: Path) -> None:
    assert package.stat().st_size < LARGEST_PACKAGE


def test_every_module_filter_and_role_explains_itself(user: dict[str, str]) -> None:
    assert documentation(user, "module").keys() == names_in("plugins/modules", "*.py")
    assert documentation(user, "filter").keys() == names_in("plugins/filter", "*.py")
    roles = documentation(user, "role")
    assert roles.keys() == names_in("roles", "*")
    for name, role in roles.items():
        defaults = ROOT / "roles" / name.rpartition(".")[2] / "defaults" / "main.yml"
        options = role["entry_points"]["main"]["options"]
        assert yaml.safe_load(defaults.read_text(encoding="utf-8")).keys() <= options.keys()
        assert all(option["description"] for option in options.values())


def test_a_layout_is_planned_for_a_recorded_machine_from_an_empty_directory(user: dict[str, str]) -> None:
    geometry = {
        "architecture": "Qwen3ForCausalLM",
        "hidden_size": 4096,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 12288,
        "vocab_size": 151936,
        "max_position_embeddings": 40960,
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
    }
    layout = [{"name": "mini", "model": "/models/mini", "port": 8002, "max_model_len": "fit", "geometry": geometry}]
    variables = json.dumps({"vllm_services_layout": layout, "topology_file": str(TOPOLOGY)})
    shown = run(user, "ansible-playbook", "llmops.inference.plan", "-e", variables)
    assert "NVIDIA H100 80GB HBM3" in shown
    assert "40960" in shown
    page = Path(user["HOME"], "plan.html").read_text(encoding="utf-8")
    assert "<title>Plan of localhost</title>" in page


def test_every_playbook_is_found_by_its_full_name(user: dict[str, str]) -> None:
    playbooks = sorted(names_in("playbooks", "*.yml"))
    shown = run(user, "ansible-playbook", "--syntax-check", *playbooks)
    assert shown.count("playbook: ") == len(playbooks)


def _added(module: Path) -> str:
    """Return the version that a module says it came with."""
    documentation = module.read_text(encoding="utf-8").partition('DOCUMENTATION = r"""')[2].partition('"""')[0]
    return str(yaml.safe_load(documentation)["version_added"])


def test_a_release_is_one_command_and_tells_of_every_change(tmp_path: Path) -> None:
    checkout = tmp_path / "ansible_collections" / "llmops" / "inference"
    copy_checkout(checkout)
    # There may be none since the last release.
    more = checkout / "changelogs" / "fragments" / "of-a-test.yml"
    more.write_text("bugfixes: [one more thing]\n", encoding="utf-8")
    fragments = [file.read_text(encoding="utf-8") for file in more.parent.glob("*.yml")]
    released = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))["releases"]
    new = "99.0.0" if released else "1.0.0"
    env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    release = [str(checkout / "tests" / "tools" / "release"), new, "2026-12-01"]
    ran = subprocess.run(release, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert yaml.safe_load((checkout / "galaxy.yml").read_text(encoding="utf-8"))["version"] == new
    content = yaml.safe_load((checkout / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))["releases"]
    written = json.dumps(content[new]["changes"])
    for text in fragments:
        # A trivial change is recorded for developers and told to nobody.
        told = {section: lines for section, lines in yaml.safe_load(text).items() if section != "trivial"}
        for lines in told.values():
            for line in [lines] if isinstance(lines, str) else lines:
                assert json.dumps(line)[1:-1] in written
    named = {plugin["name"] for made in content.values() for plugin in made.get("modules", [])}
    assert named == {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py") if _added(path) in content}
    assert not list((checkout / "changelogs" / "fragments").glob("*.yml")), "what was told is not told again"
    assert f"v{new}" in (checkout / "CHANGELOG.rst").read_text(encoding="utf-8")


def test_a_release_wants_a_version(tmp_path: Path) -> None:
    release = [str(ROOT / "tests" / "tools" / "release"), "next"]
    ran = subprocess.run(release, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "'next' is no version" in ran.stderr


def test_galaxy_accepts_it_without_a_warning(package: Path, tmp_path: Path) -> None:
    importer = environment("galaxy-importer", Path(sys.executable), ["galaxy-importer==0.4.*"])
    env = os.environ | {
        "PATH": f"{importer / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
    }
    env.pop("PYTHONPATH", None)
    ran = subprocess.run(
        [importer / "bin" / "python", "-m", "galaxy_importer.main", package],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = ran.stdout + ran.stderr
    assert "Importer processing completed successfully" in said
    assert not [line for line in said.splitlines() if "WARNING" in line or "ERROR" in line]
