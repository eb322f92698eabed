# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads pages of Markdown: their blocks of code, headings and links."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.llmops.inference.tests.tools.environments import ROOT

# Written by what measures or tests, on the machine of whoever publishes them.
GENERATED = {ROOT / "docs" / "compatibility.md", ROOT / "docs" / "gateway-overhead.md"}
# Made from the code when the site is built.
REFERENCE = ROOT / "docs" / "reference"
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and its text."""

    language: str
    text: str

    def commands(self) -> list[str]:
        """Return what a console block has typed, with the indented lines that go on, without comments at their ends."""
        lines = re.sub(r"\s+# .*$", "", self.text, flags=re.MULTILINE)
        return [found[2:] for found in re.findall(r"^\$ .*(?:\n +.*)*", lines, re.MULTILINE)]


def pages() -> list[Path]:
    """Return every page that git knows."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in names.splitlines() if (ROOT / name).exists()]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in their order."""
    return [Block(language, text) for language, text in _FENCE.findall(page.read_text(encoding="utf-8"))]


def anchors(page: Path) -> set[str]:
    """Return what a link can point to in a page, as Markdown's renderers name headings."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in kept}


def links(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead to no other site."""
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text(encoding="utf-8")))
    for target in _LINK.findall(text):
        if not re.match(r"[a-z]+:", target):
            yield target


def broken(page: Path, target: str) -> bool:
    """Whether a link leads nowhere."""
    name, _hash, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if path in GENERATED or REFERENCE in path.parents:
        return False
    return not path.exists() or bool(anchor and anchor not in anchors(path))
