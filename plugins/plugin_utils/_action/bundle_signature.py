# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the manifest of a bundle was signed by somebody who may: ssh-keygen's signatures of files."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from ansible_collections.llmops.inference.plugins.module_utils._bundle.manifest import (
    BUNDLE_MANIFEST_FILE,
    SIGNATURE_FILE,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

# What else the key may sign is no bundle.
NAMESPACE = "llmops-inference-bundle"


def check_signature(manifest: bytes, signature: bytes | None, allowed_signers: Path) -> str:
    """Return who signed; InferenceError where nobody of the file ``allowed_signers`` did."""
    way_out = (
        f"Have the bundle signed (vllm_bundle_signing_key), bring {SIGNATURE_FILE} along, or, where the key has"
        f" changed, put the new one into {allowed_signers} (vllm_bundle_allowed_signers)."
    )
    if signature is None:
        raise InferenceError(f"the bundle's manifest is not signed: there is no {SIGNATURE_FILE}. {way_out}")
    if not allowed_signers.is_file():
        raise InferenceError(f"{allowed_signers} is no file on the controller (vllm_bundle_allowed_signers).")
    with tempfile.TemporaryDirectory() as directory:
        signed = Path(directory, SIGNATURE_FILE)
        signed.write_bytes(signature)
        common = ["-f", str(allowed_signers), "-s", str(signed)]
        found = _keygen(["-Y", "find-principals", *common], b"")
        principal = (found.stdout.decode().splitlines() or [""])[0]
        verify = ["-Y", "verify", *common, "-n", NAMESPACE, "-I", principal]
        if found.returncode or _keygen(verify, manifest).returncode:
            raise InferenceError(f"no key of {allowed_signers} has signed this {BUNDLE_MANIFEST_FILE}. {way_out}")
    return principal


def _keygen(arguments: list[str], content: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", *arguments], input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise InferenceError(
            "the controller has no ssh-keygen (Debian: openssh-client), which checks signatures."
        ) from None
