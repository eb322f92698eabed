#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_bundle
version_added: 1.0.0
short_description: Puts parts of a bundle on a host, verified
description:
  - A bundle is a directory with everything that hosts without a network need, and a manifest of it; the entry point
    C(build) of the role P(llmops.inference.vllm_bundle#role) makes it.
  - The manifest is checked first, by its signature or its digest where these are given, then the bundle on the
    controller, all of it, then every file on the host, where it lies after it was transferred. Only then does a part
    take its place, as a whole.
  - Files are hashed again only where they are not what they were when they were hashed, by device, inode, size and
    times.
  - What is on the host already is not transferred again, also after an interruption.
author:
  - The llmops.inference maintainers (@llmops)
extends_documentation_fragment:
  - llmops.inference.attributes
  - llmops.inference.attributes.actiongroup
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
requirements:
  - Python >= 3.9
  - C(ssh-keygen) on the controller, with O(allowed_signers).
options:
  directory:
    description: The directory of the bundle.
    type: path
    required: true
  on_host:
    description: Whether O(directory) is on the host, on a disk or a share, and not on the controller.
    type: bool
    default: false
  parts:
    description: The directories of the bundle to put in their places.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - The directory, by its path in the bundle.
          - C({python}) stands for the version and the machine of O(interpreter), C(python3.11-x86_64); C({release}) for
            those of the host's Debian, C(bookworm-amd64).
        type: str
        required: true
      dest:
        description: Its place on the host; that in the bundle itself, with O(on_host=true), verifies it there.
        type: path
        required: true
      replace:
        description:
          - Whether what is there is replaced where it differs.
          - It is refused otherwise, because an engine may serve it.
        type: bool
        default: false
      optional:
        description: Whether nothing is done where the bundle does not have it.
        type: bool
        default: false
  interpreter:
    description: The Python on the host whose version C({python}) stands for.
    type: path
    default: /usr/bin/python3
  manifest_sha256:
    description: The SHA-256 of the manifest, as it was printed when the bundle was made. Empty accepts any.
    type: str
    default: ""
  allowed_signers:
    description:
      - A file on the controller, in the format of C(ssh-keygen), with the keys that may sign a bundle. Empty does not
        ask for a signature.
    type: path
    default: ""
  record:
    description: The file on the host that keeps what was verified.
    type: path
    default: /var/lib/vllm-bundle/verified.json
  recheck:
    description: Whether everything is hashed, also what was before.
    type: bool
    default: false
  manifest:
    description: The manifest itself; the controller's part of this module sets it.
    type: str
    default: ""
  brought:
    description:
      - What was transferred, path in the bundle to path on the host; the controller's part of this module sets it.
    type: dict
    default: {}
"""

EXAMPLES = r"""
---
- name: Bring the wheels for the host's Python
  llmops.inference.vllm_bundle:
    directory: /srv/bundle
    manifest_sha256: 2f7d0a54c0a0a3ed95c7a55b8a7f3f2c8c6f0f2d8c2a4a1a3f4f6f0d4b9e8c71
    parts:
      - path: wheels/{python}
        dest: /var/lib/vllm-bundle/wheels
        replace: true
"""

RETURN = r"""
parts:
  description: The parts, by their paths in the bundle.
  returned: success
  type: list
  elements: str
  sample: [wheels/python3.11-x86_64]
changed_parts:
  description: Those that were not in their places yet.
  returned: success
  type: list
  elements: str
  sample: []
read_bytes:
  description: What was read on the host to hash it, in bytes; 0 where nothing has changed.
  returned: success
  type: int
  sample: 0
transferred_bytes:
  description: What was transferred to the host, in bytes.
  returned: success
  type: int
  sample: 0
"""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.inference.plugins.module_utils._bundle.digests import Digests
from ansible_collections.llmops.inference.plugins.module_utils._bundle.manifest import (
    BUNDLE_MANIFEST_FILE,
    BundleManifest,
)
from ansible_collections.llmops.inference.plugins.module_utils._bundle.parts import Part, free_disk_bytes, put
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

_PYTHON = "import platform, sys; print('python%d.%d-%s' % (*sys.version_info[:2], platform.machine()))"


def parts_of(module: AnsibleModule, manifest: BundleManifest) -> list[Part]:
    """Return the parts with the names that stand for the host filled in, without those that are not in the bundle."""
    names: dict[str, str] = {}
    parts = []
    for values in module.params["parts"]:
        for word, ask in (("{python}", _python), ("{release}", _release)):
            if word in values["path"]:
                names[word] = names.get(word) or ask(module)
                values["path"] = values["path"].replace(word, names[word])
        if not values["optional"] or manifest.below(values["path"]):
            parts.append(Part.of(values))
    return parts


def _python(module: AnsibleModule) -> str:
    status, output, error = module.run_command([module.params["interpreter"], "-c", _PYTHON])
    if status:
        raise InferenceError(
            f"{module.params['interpreter']} does not start"
            f" ({(error.strip().splitlines() or ['no reason'])[-1]}). Install"
            " it, or set vllm_runtime_python."
        )
    return str(output).strip()


def _release(module: AnsibleModule) -> str:
    status, output, _error = module.run_command(
        ["sh", "-c", '. /etc/os-release && echo "$VERSION_CODENAME-$(dpkg --print-architecture)"']
    )
    if status:
        raise InferenceError(
            "this is no Debian, and a bundle has packages of none other: take debian out of vllm_bundle_parts."
        )
    return str(output).strip()


def bring(module: AnsibleModule) -> dict[str, Any]:
    """Return the module's result; InferenceError for what is not as it was made."""
    params = module.params
    manifest = BundleManifest.from_bytes(params["manifest"].encode(), f"{params['directory']}/{BUNDLE_MANIFEST_FILE}")
    parts = parts_of(module, manifest)
    source = Path(params["directory"]) if params["on_host"] else None
    brought = {name: Path(path) for name, path in params["brought"].items()}
    record = Path(params["record"])
    recorded = Digests.locked(record, params["recheck"])
    with nullcontext(Digests(record, params["recheck"])) if module.check_mode else recorded as digests:
        progress = put(parts, manifest, digests, source=source, brought=brought, check_mode=module.check_mode)
        return {
            "changed": bool(progress.changed),
            "parts": [part.path for part in parts],
            "changed_parts": progress.changed,
            "missing": progress.missing,
            "room": {part.path: [str(part.dest), free_disk_bytes(part.dest)] for part in parts if progress.missing},
            "read_bytes": digests.read_bytes,
        }


def main() -> None:
    part = {
        "path": {"type": "str", "required": True},
        "dest": {"type": "path", "required": True},
        "replace": {"type": "bool", "default": False},
        "optional": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "on_host": {"type": "bool", "default": False},
            "parts": {"type": "list", "elements": "dict", "default": [], "options": part},
            "interpreter": {"type": "path", "default": "/usr/bin/python3"},
            "manifest_sha256": {"type": "str", "default": ""},
            "allowed_signers": {"type": "path", "default": ""},
            "record": {"type": "path", "default": "/var/lib/vllm-bundle/verified.json"},
            "recheck": {"type": "bool", "default": False},
            "manifest": {"type": "str", "default": ""},
            "brought": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    try:
        module.exit_json(**bring(module))
    except (InferenceError, OSError) as error:
        details = error.details if isinstance(error, InferenceError) else {}
        module.fail_json(msg=str(error), **details)


if __name__ == "__main__":
    main()
