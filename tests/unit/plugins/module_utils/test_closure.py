# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a program follow from its imports."""

from __future__ import annotations

from ansible_collections.llmops.inference.plugins.module_utils._closure import closure

MODULES = {
    "_errors": "import os",
    "_a.one": "from __future__ import annotations\nfrom .two import name\nfrom .._errors import Problem",
    "_a.two": "from ..  import _errors\nfrom . import three",
    "_a.three": "def lazily():\n    from .._b.four import late",
    "_b.four": "from .._a.one import back",
    "_b.unused": "",
}


def test_modules_are_followed_through_packages_and_functions_and_circles() -> None:
    found = closure("import sys\nfrom llmops_inference._a.one import main", MODULES.get)
    assert list(found) == ["_a/one.py", "_a/three.py", "_a/two.py", "_b/four.py", "_errors.py"]
    assert found["_errors.py"] == "import os"


def test_other_packages_are_left_to_the_host() -> None:
    assert closure("from json import loads\nimport llmops_inference_other\nfrom ansible.x import y", MODULES.get) == {}
