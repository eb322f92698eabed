# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of pages: Jinja2 escapes every value that is no markup, and refuses a name that is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_SHARED = Path(__file__).parent / "templates"


def render(name: str, folder: Path | None = None, **values: Any) -> Markup:
    """Render the template ``name`` of ``folder``, which comes before the templates that all pages share.

    The folder is not named like a module beside it: Ansible's importer prefers a folder to a module of that name.
    """
    folders = [str(_SHARED)] if folder is None else [str(folder), str(_SHARED)]
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return Markup(environment.get_template(name).render(values))
