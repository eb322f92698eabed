# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a page that are written by a program, between markers, among the prose of people."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_MARKED = re.compile(r"(<!-- generated: ([a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rewritten(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Return a page with what its markers enclose written anew."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{parts[found[2]]()}\n\n{found[3]}", text)
