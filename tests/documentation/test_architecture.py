# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page on the code names the packages that there are, and files that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.tests.tools.environments import ROOT
from ansible_collections.llmops.inference.tests.unit.plugins.module_utils.test_architecture import ORDER

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TREE = TEXT.partition("## The tree")[2].partition("```text\n")[2].partition("```")[0]
UTILS = {name: ROOT / "plugins" / name for name in ("module_utils", "plugin_utils")}
TESTS = ROOT / "tests" / "unit" / "plugins" / "module_utils"
PACKAGE = re.compile(r"^  (_\w+)/ ", re.MULTILINE)
FILE = re.compile(r"`(?:[\w./-]*/)?(?:_?\w+/)*\w+\.(?:py|yml)`")


def in_tree(name: str) -> list[str]:
    """Return the packages that the tree lists below module_utils or plugin_utils, in its order."""
    lines = TREE.partition(f"plugins/{name}/")[2]
    return PACKAGE.findall(re.split(r"^\S", lines, maxsplit=1, flags=re.MULTILINE)[0])


@pytest.mark.parametrize("name", UTILS)
def test_the_tree_lists_every_package(name: str) -> None:
    assert sorted(in_tree(name)) == sorted({path.parent.name for path in UTILS[name].glob("_*/*.py")})


def test_the_tree_has_the_order_in_which_packages_import_one_another() -> None:
    assert in_tree("module_utils") == ORDER


def found(path: str) -> list[Path]:
    """Return where a file that the page names lies: in the checkout, among the packages, or among their tests."""
    places = (ROOT, *UTILS.values(), TESTS)
    return [place / path for place in places if (place / path).exists()]


@pytest.mark.parametrize("path", sorted({name.strip("`") for name in FILE.findall(TEXT) if "NAME" not in name}))
def test_every_file_that_it_names_is_there(path: str) -> None:
    # A name alone is one that the reader gives to a file of a new scenario or of a role.
    assert found(path) or "/" not in path or path in {"defaults/main.yml", "meta/argument_specs.yml"}
