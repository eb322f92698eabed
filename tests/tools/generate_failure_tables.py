# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes every kind of failure into docs/troubleshooting.md, between its markers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ansible_collections.llmops.inference.plugins.module_utils._incidents.signature import Section
from ansible_collections.llmops.inference.plugins.module_utils._incidents.signatures import SIGNATURES
from ansible_collections.llmops.inference.tests.tools.generated_parts import rewritten

PAGE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"


def failures(section: Section) -> str:
    """Return the table of a section: an example of a line, the remedy and the name of its kind."""
    rows = [
        f"| `{example}` | {signature.remedy} | `{signature.kind}` |"
        for signature in SIGNATURES
        if signature.section is section
        for example in signature.examples
    ]
    return "\n".join(["| the line | what to do | name |", "|---|---|---|", *rows])


SECTIONS: dict[str, Callable[[], str]] = {
    f"failures-{section.value}": partial(failures, section) for section in Section
}


def current(text: str) -> str:
    """Return a page with what its markers enclose written anew."""
    return rewritten(text, SECTIONS)


if __name__ == "__main__":
    PAGE.write_text(current(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
