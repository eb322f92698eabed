# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of the module of this name, on the controller: the answer needs no host."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._fits.ask import answer_to
from ansible_collections.llmops.inference.plugins.plugin_utils._fits.output import write
from ansible_collections.llmops.inference.plugins.plugin_utils._plan_page.page import page


class ActionModule(ActionBase):
    """Answers whether a model fits some cards."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer, or fail with one sentence."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        page_file, answer_file = arguments.pop("page_file", ""), arguments.pop("answer_file", "")
        try:
            found = answer_to(arguments, os.environ)
            written = []
            if page_file:
                written.append(write(page_file, page({found["question"]: found}), check=self._task.check_mode))
            if answer_file:
                written.append(write(answer_file, json.dumps(found, indent=1) + "\n", check=self._task.check_mode))
            return {"changed": any(written), **found}
        except InferenceError as error:
            raise AnsibleActionFail(str(error), result=dict(error.details)) from None
