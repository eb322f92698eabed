# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links lead somewhere, examples are valid, commands are such as this checkout has, and the site builds of it all."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmops.inference.plugins.module_utils._incidents.cause import cause
from ansible_collections.llmops.inference.plugins.module_utils._incidents.signatures import KINDS
from ansible_collections.llmops.inference.tests.documentation.pages import anchors, blocks, broken, links, pages
from ansible_collections.llmops.inference.tests.playbooks.command import ansible
from ansible_collections.llmops.inference.tests.tools.environments import ROOT
from ansible_collections.llmops.inference.tests.tools.generate_failure_tables import PAGE, SECTIONS, current

PAGES = pages()
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
TUTORIAL = ROOT / "docs" / "tutorial.md"
TRANSLATIONS = sorted((ROOT / "docs" / "fr").glob("*.md"))
# Kinds for which there is no line to look for.
WITHOUT_A_LINE = {"engine_error", "unknown"}
OF_ROLES = r"vllm_(?:runtime|models|services|gateway|validation|experiment|bundle|monitoring)_\w+"
# Programs that other tests run with these very arguments, or that a user has of somebody else.
OTHER_PROGRAMS = {"python3", "ansible-galaxy", "export", "ansible-inventory", "sha256sum", "git", "molecule"}


@EVERY_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    assert not [target for target in links(page) if broken(page, target)]


def test_a_link_that_leads_nowhere_is_found() -> None:
    assert broken(TUTORIAL, "no-such-page.md")
    assert broken(TUTORIAL, "memory-budget.md#no-such-heading")
    assert not broken(TUTORIAL, "memory-budget.md#what-to-set")
    assert "5-clean-up" in anchors(TUTORIAL)


def examples() -> list[tuple[str, str]]:
    """Return every YAML block with the name of its page."""
    return [
        (str(page.relative_to(ROOT)), block.text)
        for page in PAGES
        for block in blocks(page)
        if block.language == "yaml"
    ]


@pytest.mark.parametrize(("name", "text"), examples(), ids=[name for name, _text in examples()])
def test_every_example_is_valid_and_sets_only_variables_that_roles_have(name: str, text: str, tmp_path: Path) -> None:
    if "# inventory   " in text:  # two files side by side
        return
    content = yaml.safe_load(text)
    plays = isinstance(content, list) and all(isinstance(item, dict) and "hosts" in item for item in content)
    if plays:
        play = tmp_path / "play.yml"
        play.write_text(text, encoding="utf-8")
        ansible("ansible-playbook", "-i", "gpu_hosts,vllm,", "--syntax-check", str(play))
    used = set(re.findall(rf"^\s*(?:- )?({OF_ROLES}):", text, re.MULTILINE))
    assert not used - role_variables()


def role_variables() -> set[str]:
    """Return the variables of all roles."""
    specifications = [yaml.safe_load(path.read_text()) for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")]
    return {name for specification in specifications for name in specification["argument_specs"]["main"]["options"]}


def commands() -> list[str]:
    """Return every command of every page, once."""
    return sorted(
        {line for page in PAGES for block in blocks(page) if block.language == "console" for line in block.commands()}
    )


def files_of_readers() -> set[str]:
    """Return the files that pages have their readers write: their names are the first lines of YAML blocks."""
    return {text.partition("\n")[0].removeprefix("# ") for _page, text in examples() if text.startswith("# ")}


@pytest.mark.parametrize("command", commands())
def test_every_command_is_one_that_this_checkout_has(command: str) -> None:
    words = shlex.split(command)
    while words and (words[0] == "tests/testbed/in-testbed" or re.fullmatch(r"[A-Z_]+=.*", words[0])):
        words = words[1:]
    program, *arguments = words
    program = program.removeprefix("~/ansible/bin/")
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets)
    elif program == "ansible-playbook":
        inventories = [arguments[index + 1] for index, word in enumerate(arguments) if word in {"-i", "--inventory"}]
        playbooks = [word for word in arguments if word.endswith(".yml") and not word.startswith("@")]
        files = {path for path in [*inventories, *playbooks] if path not in files_of_readers()}
        assert all((ROOT / path).exists() for path in files)
        variables = re.findall(rf"-e ({OF_ROLES})=", command)
        assert set(variables) - {"vllm_services_profiel"} <= role_variables()
    elif program not in OTHER_PROGRAMS:
        assert (ROOT / program).exists() or program in {"podman", "pip", "ansible-doc", "ansible-test"}, program


def test_every_page_for_users_is_in_the_index() -> None:
    index = set(links(ROOT / "docs" / "index.md"))
    written = {str(page.relative_to(ROOT / "docs")) for page in PAGES if ROOT / "docs" in page.parents}
    assert written - {"index.md", "gateway-overhead.md"} <= index


@pytest.mark.parametrize("page", TRANSLATIONS, ids=lambda page: page.stem)
def test_a_french_page_has_the_same_steps(page: Path) -> None:
    original = ROOT / "docs" / page.name
    assert blocks(page) == blocks(original)
    assert len(anchors(page)) == len(anchors(original))


def test_the_tutorial_and_the_comparison_are_there_in_french() -> None:
    assert {"tutorial", "comparing-and-tuning"} <= {page.stem for page in TRANSLATIONS}


def rows() -> list[tuple[str, str, str]]:
    """Return the line, the remedy and the kind of each row of the troubleshooting page that has a kind."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([^`]+)` \| (.+?) \| `(\w+)` \|$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "remedy", "kind"), rows(), ids=[f"{kind}-{number}" for number, (_line, _remedy, kind) in enumerate(rows())]
)
def test_troubleshooting_says_of_a_line_what_the_collection_says(line: str, remedy: str, kind: str) -> None:
    incident = cause(["starting", line])
    assert (incident.kind, incident.remedy) == (kind, remedy)


def test_troubleshooting_knows_every_kind() -> None:
    assert {kind for _line, _remedy, kind in rows()} == set(KINDS) - WITHOUT_A_LINE


def test_the_tables_of_troubleshooting_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert current(text) == text, "run tests/tools/generate_failure_tables.py"
    assert all(text.count(f"<!-- generated: {name} -->") == 1 for name in SECTIONS)


def test_a_remedy_that_was_edited_by_hand_is_noticed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert current(text.replace("free the port", "close the port")) == text


def test_the_site_builds_without_a_warning() -> None:
    build = [sys.executable, "tests/tools/build_docs.py"]
    ran = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    site = ROOT / "build" / "docs" / "html"
    assert (site / "index.html").is_file()
    assert "vllm_services_layout" in (site / "reference" / "vllm_services_role.html").read_text(encoding="utf-8")
