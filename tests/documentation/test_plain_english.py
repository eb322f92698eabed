# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Idioms that made the pages hard to read stay rare: docs/glossary.md has the words to use instead."""

from __future__ import annotations

import re

import pytest
from ansible_collections.llmops.inference.tests.documentation.pages import GENERATED, pages
from ansible_collections.llmops.inference.tests.tools.environments import ROOT

IDIOMS = {
    "in force": r"\bin(?:to)? force\b",
    "has to": r"\b(?:has|have|had|having) to\b",
    "what it": r"\bwhat it\b",
    "whatever": r"\b(?:whatever|whoever)\b",
    "is none": r"\b(?:is|are|was) none\b",
    "foretold": r"\bforet(?:ell|old)",
    "the way back": r"\bthe way back\b",
}
# Over all pages together. Before they were rewritten, "what it" alone was there 23 times.
MOST = 3
# Its last table lists the old words.
GLOSSARY = ROOT / "docs" / "glossary.md"


def prose(text: str) -> str:
    """Return a page without its blocks of code, the parts that a program writes, and line breaks."""
    text = re.sub(r"^```.*?^```$|<!-- generated:.*?<!-- end -->", "", text, flags=re.MULTILINE | re.DOTALL)
    return " ".join(re.sub(r"`[^`\n]*`", "", text).split())


def uses(pattern: str, text: str) -> list[str]:
    """Return every use of an idiom with some words around it."""
    return re.findall(rf".{{0,40}}(?:{pattern}).{{0,20}}", prose(text), re.IGNORECASE)


@pytest.mark.parametrize("idiom", IDIOMS)
def test_an_idiom_is_rare(idiom: str) -> None:
    read = {page: page.read_text(encoding="utf-8") for page in pages() if page not in GENERATED | {GLOSSARY}}
    found = {str(page.relative_to(ROOT)): uses(IDIOMS[idiom], text) for page, text in read.items()}
    assert sum(map(len, found.values())) <= MOST, {page: lines for page, lines in found.items() if lines}


def test_an_idiom_is_found_in_prose_and_in_tables_only() -> None:
    text = "The one in\nforce.\n| it has to |\n```text\nit has to\n```\n`has to`\n"
    assert uses(IDIOMS["in force"], text)
    assert len(uses(IDIOMS["has to"], text)) == 1
