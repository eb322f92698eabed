# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx's settings for the site that `make docs` builds (tests/tools/build_docs.py)."""

from __future__ import annotations

from typing import Any

from docutils import nodes

project = "llmops.inference"
author = copyright = "The llmops.inference maintainers"
extensions = ["myst_parser", "sphinx_antsibull_ext"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["schemas"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {"description": "Open language models on your own GPU hosts", "page_width": "75em"}
html_extra_path: list[str] = []
highlight_language = "none"
# Nothing is fetched while the site is built: what other collections and Ansible document is named, and linked there.
ELSEWHERE = "https://docs.ansible.com/ansible/latest/collections/"


def of_another_project(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Link what ansible-core documents; everything else that is missing is a mistake in these pages."""
    kind, _separator, plugin = node.get("reftarget", "").partition("_module")
    if kind.startswith("ansible_collections.ansible.builtin."):
        namespace, name, module = kind.split(".")[1:4]
        return nodes.reference("", "", content, refuri=f"{ELSEWHERE}{namespace}/{name}/{module}_module.html")
    return None


def setup(app: Any) -> None:
    """Register the above."""
    app.connect("missing-reference", of_another_project)
