#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_models_info
version_added: 1.0.0
short_description: Looks at the files of models
description:
  - Tells of each model whether it is there and whole, and whether the services' user can read it.
  - What was fetched is compared with the record of its fetch; the hub is not asked.
  - It is an error where a model that has not to be fetched cannot be read.
author:
  - The llmops.inference maintainers (@llmops)
extends_documentation_fragment:
  - llmops.inference.attributes
  - llmops.inference.attributes.actiongroup
  - llmops.inference.attributes.info_module
  - llmops.inference.problems
requirements:
  - Python >= 3.9
  - Root's rights, to look with the eyes of the services' user.
options:
  models:
    description: The models.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the model.
        type: str
        required: true
      path:
        description: The directory of a model that is on the host already.
        type: path
      repo_id:
        description: The repository on the hub that it comes from.
        type: str
      revision:
        description: The branch, tag or commit. The default is V(main).
        type: str
      dest:
        description: The directory of a fetched model. The default is its name in O(directory).
        type: path
      ignore_patterns:
        description: Files of the repository to leave out. The default is none.
        type: list
        elements: str
  directory:
    description: Where fetched models are kept.
    type: path
    default: /var/lib/vllm/models
  user:
    description: Who must be able to read them. Of a user that does not exist nothing is said.
    type: str
    default: vllm
"""

EXAMPLES = r"""
---
- name: See whether a model is whole
  llmops.inference.vllm_models_info:
    models:
      - name: Qwen3-8B
        repo_id: Qwen/Qwen3-8B
  register: look
"""

RETURN = r"""
models:
  description: The models as stated, with what there is of each.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name of the model.
      returned: success
      type: str
      sample: Qwen3-8B
    path:
      description: Its directory.
      returned: success
      type: str
      sample: /var/lib/vllm/models/Qwen3-8B
    fetch:
      description: Whether it comes from a hub and is not there, or not whole, or of another revision.
      returned: success
      type: bool
    replaces:
      description: What lies in its place and would be overwritten, as C(REPOSITORY@REVISION), or V(null).
      returned: success
      type: str
      sample: Qwen/Qwen3-8B@main
    problem:
      description: Why the user cannot read it, as the end of a sentence; V(null) where it can.
      returned: success
      type: str
      sample: 1 of its files cannot be read, the first is /srv/closed/model.safetensors
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.inference.plugins.module_utils._model.directory import inspect_models

OPTIONS = {
    "models": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "path": {"type": "path"},
            "repo_id": {"type": "str"},
            "revision": {"type": "str"},
            "dest": {"type": "path"},
            "ignore_patterns": {"type": "list", "elements": "str"},
        },
        "mutually_exclusive": [("path", "repo_id"), ("path", "dest")],
        "required_one_of": [("path", "repo_id")],
    },
    "directory": {"type": "path", "default": "/var/lib/vllm/models"},
    "user": {"type": "str", "default": "vllm"},
    "problems": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    user = module.params["user"]
    found = inspect_models(module.params["models"], module.params["directory"], user)
    bad = [model for model in found if model["problem"] and not model["fetch"]]
    if bad:
        module.fail_json(
            msg=f"this host cannot serve {', '.join(model['name'] for model in bad)} as {user}: "
            f"{'; '.join(model['problem'] for model in bad)}. Put the files there, or give them and their directories "
            "read permission ('chmod -R a+rX DIRECTORY').",
            models=found,
        )
    module.exit_json(models=found)


if __name__ == "__main__":
    main()
