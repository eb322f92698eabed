# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx's settings for the site that `make docs` builds (tests/tools/build_docs.py)."""

from __future__ import annotations

from typing import Any

from docutils import nodes

project = "llmops.inference"
author = copyright = "The llmops.inference maintainers"
extensions = ["myst_parser", "sphinx_antsibull_ext", "sphinx_copybutton"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["schemas"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "llmops.inference"
html_theme_options = {
    "source_repository": "https://github.com/llmops/inference/",
    "source_branch": "main",
    "source_directory": "docs/",
}
# A button copies the commands of a console, and neither their prompt nor their output.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
highlight_language = "none"
# A command over several lines is coloured as far as its lexer gets.
suppress_warnings = ["misc.highlighting_failure"]
# Nothing is fetched while the site is built: what other collections and Ansible document is named, and linked there.
ELSEWHERE = "https://docs.ansible.com/ansible/latest/"
BUILTIN = "ansible_collections.ansible.builtin."
PAGES = {
    "ansible_configuration_settings": "reference_appendices/config.html",
    "common_return_values": "reference_appendices/common_return_values.html",
    "action_plugins": "plugins/action.html",
}


def of_another_project(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Link what ansible-core documents; everything else that is missing is a mistake in these pages."""
    label = node.get("reftarget", "")
    page = PAGES.get(label)
    if label.startswith(BUILTIN):
        page = f"collections/ansible/builtin/{label.removeprefix(BUILTIN)}.html"
    return nodes.reference("", "", content, refuri=ELSEWHERE + page) if page else None


def setup(app: Any) -> None:
    """Register the above."""
    app.connect("missing-reference", of_another_project)
