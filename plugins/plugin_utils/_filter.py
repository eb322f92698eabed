# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from a filter's file to the function that does its work.

Ansible imports the files of all filters as soon as a template uses one of them. A filter's file therefore holds its
documentation alone, and its function is imported at the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

HERE = __name__.rpartition(".")[0]


def lazy(module: str, function: str) -> Callable[..., Any]:
    """Return a filter that calls ``function`` of ``module``, a module below plugin_utils such as ``_fleet.layout``.

    The filter raises AnsibleFilterError where the function raises InferenceError. Its attribute ``target`` returns the
    function, so that tests can compare the function with the documentation.
    """

    def target() -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(import_module(f"{HERE}.{module}"), function)
        return found

    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return target()(*arguments, **options)
        except InferenceError as error:
            raise AnsibleFilterError(str(error)) from error

    call.target = target  # type: ignore[attr-defined]
    return call
