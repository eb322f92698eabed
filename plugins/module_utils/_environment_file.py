# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment variables as a file that systemd reads (EnvironmentFile=), and as a container reads it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_ESCAPED = re.compile(r'\\([\\"])')


def to_text(variables: Mapping[str, str]) -> str:
    """The file: double quotes, in which only the backslash and the quote need escaping."""
    quoted = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in variables.items()}
    return "".join(f'{name}="{value}"\n' for name, value in sorted(quoted.items()))


def from_text(text: str) -> dict[str, str]:
    """The variables of a file that ``to_text`` wrote."""
    found = {}
    for line in text.splitlines():
        name, _equals, quoted = line.partition("=")
        found[name] = _ESCAPED.sub(r"\1", quoted[1:-1])
    return found
