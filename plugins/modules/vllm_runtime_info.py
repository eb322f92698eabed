#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_runtime_info
version_added: 1.0.0
short_description: Reads what the role vllm_runtime has installed
description:
  - Reads the records of an engine and of the modules' tools, and whether the services' user is there, all in one call.
  - A record that is not of what lies there now, because the engine was replaced in place, counts as absent.
author:
  - The llmops.inference maintainers (@llmops)
extends_documentation_fragment:
  - llmops.inference.attributes
  - llmops.inference.attributes.actiongroup
  - llmops.inference.attributes.info_module
  - llmops.inference.problems
requirements:
  - Python >= 3.9
options:
  root:
    description: Where engines are installed, each in a directory of its version.
    type: path
    default: /opt/vllm
  version:
    description: The version of the engine.
    type: str
    required: true
  image:
    description:
      - The image that holds the engine, pinned by its digest (C(NAME@sha256:DIGEST)). The record of the engine is then
        the one of this image, and absent where the image itself is.
    type: str
  user:
    description: The services' user.
    type: str
    default: vllm
  group:
    description: The services' group.
    type: str
    default: vllm
  home:
    description: The home of the services' user.
    type: path
    default: /var/lib/vllm
"""

EXAMPLES = r"""
---
- name: See which engine there is
  llmops.inference.vllm_runtime_info:
    version: 0.32.0
  register: installed
"""

RETURN = r"""
engine:
  description: The engine's record; V(null) where it is not installed, not whole, or not the one that was recorded.
  returned: success
  type: dict
  contains:
    accelerator:
      description: What the engine is built for.
      returned: success
      type: str
      sample: cuda
    distribution:
      description: The distribution that holds it.
      returned: success
      type: str
      sample: vllm
    version:
      description: The version of that distribution.
      returned: success
      type: str
      sample: 0.32.0
    image:
      description: Podman's id of the image that holds it; V(null) where none does.
      returned: success
      type: str
      sample: sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
    python:
      description: The version of its Python.
      returned: success
      type: str
      sample: 3.11.2
    ray:
      description: The version of Ray that the role has installed beside it; V(null) without.
      returned: success
      type: str
      sample: 2.60.0
tools:
  description: The requirements that the modules' tools were installed for; empty where they are not there.
  returned: success
  type: list
  elements: str
  sample: [nvidia-ml-py>=13,<14]
foreign:
  description:
    - Whether the directory of this version holds what the role did not make, be it adopted or not. Nothing of the
      collection deletes it.
  returned: success
  type: bool
made:
  description: What lies below O(root) and the role has made, by path.
  returned: success
  type: list
  elements: str
  sample: [/opt/vllm/0.32.0, /opt/vllm/tools]
not_made:
  description: What lies below O(root) and the role has not made.
  returned: success
  type: list
  elements: str
  sample: []
account:
  description: Whether the services' user and group are there as the role makes them.
  returned: success
  type: bool
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import (
    TOOLS,
    account_exists,
    contents,
    engine_record,
    image_record,
    is_ours,
    tools_record,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._host.podman import Podman

OPTIONS = {
    "root": {"type": "path", "default": "/opt/vllm"},
    "version": {"type": "str", "required": True},
    "image": {"type": "str"},
    "user": {"type": "str", "default": "vllm"},
    "group": {"type": "str", "default": "vllm"},
    "home": {"type": "path", "default": "/var/lib/vllm"},
    "problems": {"type": "list", "elements": "str", "default": []},
}
# Hundreds of flags are nobody's business here.
SHOWN = ("accelerator", "distribution", "version", "python", "image", "ray")


def read_record(module: AnsibleModule) -> dict[str, Any] | None:
    """The record of the engine, or of the one in the image."""
    root = Path(module.params["root"])
    if not module.params["image"]:
        return engine_record(root / module.params["version"])
    record = image_record(root, module.params["image"])
    podman = Podman(lambda command: module.run_command(list(command)))
    return record if record and podman.has_image(record["image"]) else None


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    params = module.params
    try:
        record = read_record(module)
    except InferenceError as error:
        module.fail_json(msg=str(error), **error.details)
    root = Path(params["root"])
    made, not_made = contents(root)
    module.exit_json(
        engine={key: record.get(key) for key in SHOWN} if record else None,
        tools=tools_record(root / TOOLS),
        account=account_exists(params["user"], params["group"], params["home"]),
        foreign=not is_ours(root / params["version"]),
        made=made,
        not_made=not_made,
    )


if __name__ == "__main__":
    main()
