#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_bundle_manifest
version_added: 1.0.0
short_description: Writes the manifest of a bundle
description:
  - Writes C(SHA256SUMS) of every file of a directory, in the format of C(sha256sum), for
    M(llmops.inference.vllm_bundle).
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
options:
  directory:
    description: The directory. It may hold regular files only, in directories.
    type: path
    required: true
  record:
    description: A file outside of it that keeps what was hashed, so that it need not be again while it does not change.
    type: path
"""

EXAMPLES = r"""
---
- name: List what was added by hand, too
  llmops.inference.vllm_bundle_manifest:
    directory: /srv/bundle
"""

RETURN = r"""
sha256:
  description: The SHA-256 of the manifest, for C(vllm_bundle_manifest_sha256).
  returned: success
  type: str
  sample: 2f7d0a54c0a0a3ed95c7a55b8a7f3f2c8c6f0f2d8c2a4a1a3f4f6f0d4b9e8c71
files:
  description: How many files it names.
  returned: success
  type: int
  sample: 264
bytes:
  description: What they have together, in bytes.
  returned: success
  type: int
  sample: 1073741824
"""

import os
from pathlib import Path
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.inference.plugins.module_utils._bundle.check import entries
from ansible_collections.llmops.inference.plugins.module_utils._bundle.digests import Digests
from ansible_collections.llmops.inference.plugins.module_utils._bundle.manifest import (
    BUNDLE_MANIFEST_FILE,
    SIGNATURE_FILE,
    BundleManifest,
    digest_of,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError


def write(directory: Path, record: Optional[Path], check_mode: bool) -> dict[str, Any]:
    """Return the module's result; InferenceError for what cannot be in a bundle."""
    found = entries(directory)
    odd = sorted(name for name, regular in found.items() if not regular)
    if odd:
        raise InferenceError(f"{directory / odd[0]} is no regular file: put there what it stands for, or remove it.")
    paths = [directory / name for name in found if name not in (BUNDLE_MANIFEST_FILE, SIGNATURE_FILE)]
    digests = Digests(record or Path(os.devnull))
    content = BundleManifest(
        {str(path.relative_to(directory)): digest for path, digest in digests.of(paths).items()}
    ).to_text()
    path = directory / BUNDLE_MANIFEST_FILE
    changed = not path.exists() or path.read_text() != content
    if changed and not check_mode:
        if record:
            digests.save()
        path.write_text(content)
    return {
        "changed": changed,
        "sha256": digest_of(content.encode()),
        "files": len(paths),
        "bytes": sum(path.stat().st_size for path in paths),
    }


def main() -> None:
    options = {"directory": {"type": "path", "required": True}, "record": {"type": "path"}}
    module = AnsibleModule(options, supports_check_mode=True)
    record = Path(module.params["record"]) if module.params["record"] else None
    os.umask(0o022)
    try:
        module.exit_json(**write(Path(module.params["directory"]), record, module.check_mode))
    except (InferenceError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
