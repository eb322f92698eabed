# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of a role as one file that Python runs on a host without Ansible."""

from __future__ import annotations

DOCUMENTATION = r"""
name: program_archive
short_description: Make one file of a program and the modules that it imports
version_added: 1.1.0
author: The llmops.inference maintainers (@llmops)
description:
  - Makes a Python zip application of a program of this collection, with every module of this collection that it
    imports. The same sources give the same bytes.
  - The roles of this collection install their programs with it.
options:
  _terms:
    description: The paths of programs on the controller.
    type: list
    elements: path
    required: true
"""

EXAMPLES = r"""
- name: Install a program
  ansible.builtin.copy:
    src: "{{ lookup('llmops.inference.program_archive', role_path ~ '/files/example') }}"
    dest: /usr/local/lib/example/example
    mode: "0644"
"""

RETURN = r"""
_raw:
  description: The path of each archive on the controller. Ansible deletes it at the end of the run.
  type: list
  elements: path
"""

import io
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.llmops.inference.plugins.module_utils._closure import PACKAGE, closure

MODULE_UTILS = Path(__file__).resolve().parents[1] / "module_utils"


class LookupModule(LookupBase):
    """The lookup of this file."""

    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Write the archive of each program and return their paths."""
        self.set_options(var_options=variables, direct=kwargs)
        return [_written(Path(term)) for term in terms]


def archive(program: Path) -> bytes:
    """Return the zip application of a ``program``; AnsibleLookupError for a path that cannot be read."""
    try:
        text = program.read_text(encoding="utf-8")
    except OSError as error:
        raise AnsibleLookupError(f"{program} cannot be read ({error.strerror}); state the path of a program") from error
    modules = {f"{PACKAGE}/{path}": found for path, found in closure(text, _source).items()}
    # In an archive only a folder with this file is a package.
    packages = {f"{folder}/__init__.py": "" for path in modules for folder in list(Path(path).parents)[:-1]}
    files = {"__main__.py": text, **packages, **modules}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for path, content in files.items():
            # Without a date, so that the archive changes with its content only.
            target.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _written(program: Path) -> str:
    content = archive(program)
    path = Path(constants.DEFAULT_LOCAL_TMP) / f"{program.name}-{sha256(content).hexdigest()[:16]}"
    partial = path.with_name(f"{path.name}.{id(content)}")
    partial.write_bytes(content)
    partial.replace(path)
    return str(path)


def _source(name: str) -> str | None:
    path = MODULE_UTILS.joinpath(*name.split(".")).with_suffix(".py")
    return path.read_text(encoding="utf-8") if path.is_file() else None
