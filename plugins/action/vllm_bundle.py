# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module of this name: checks the bundle, and transfers what the host lacks of it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.llmops.inference.plugins.module_utils._bundle.check import check_all, read
from ansible_collections.llmops.inference.plugins.module_utils._bundle.digests import Digests
from ansible_collections.llmops.inference.plugins.module_utils._bundle.manifest import (
    BUNDLE_MANIFEST_FILE,
    SIGNATURE_FILE,
    BundleManifest,
    check_pin,
)
from ansible_collections.llmops.inference.plugins.module_utils._bundle.parts import refuse_without_room
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._action.bundle_signature import check_signature

# What lies on the host twice for a moment at the most, unless a single file has more (bytes).
_BATCH_BYTES = 2 << 30


class ActionModule(ActionBase):
    """Runs the module until nothing is missing."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result, and what was transferred."""
        super().run(tmp, task_vars)
        try:
            return self._run(task_vars or {})
        except InferenceError as error:
            raise AnsibleActionFail(str(error), result=dict(error.details)) from None

    def _run(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        arguments = dict(self._task.args)
        directory = Path(str(arguments["directory"])).expanduser()
        on_host = boolean(arguments.get("on_host", False))
        content, signature = self._from_host(directory, task_vars) if on_host else self._from_here(directory)
        manifest = BundleManifest.from_bytes(content, str(directory / BUNDLE_MANIFEST_FILE))
        check_pin(content, arguments.get("manifest_sha256") or "", str(directory / BUNDLE_MANIFEST_FILE))
        if arguments.get("allowed_signers"):
            check_signature(content, signature, Path(arguments["allowed_signers"]).expanduser())
        if not on_host:
            with Digests.locked(_record(), boolean(arguments.get("recheck", False))) as digests:
                check_all(directory, manifest, digests)
        arguments["manifest"] = content.decode()
        result = dict(self._execute_module(module_args=arguments, task_vars=task_vars))
        sizes = {path: (directory / path).stat().st_size for path in result.get("missing", [])}
        if sizes:
            result.update(self._transfer(directory, arguments, result, sizes, task_vars))
        for key in ("missing", "room"):
            result.pop(key, None)
        return {**result, "transferred_bytes": sum(sizes.values())}

    def _from_here(self, directory: Path) -> tuple[bytes, bytes | None]:
        """Return the manifest and its signature, of a bundle on the controller."""
        signature = directory / SIGNATURE_FILE
        return read(directory), signature.read_bytes() if signature.exists() else None

    def _from_host(self, directory: Path, task_vars: dict[str, Any]) -> tuple[bytes, bytes | None]:
        """Return the same, of one on the host."""
        found = []
        for name in (BUNDLE_MANIFEST_FILE, SIGNATURE_FILE):
            arguments = {"src": str(directory / name)}
            answer = self._execute_module("ansible.builtin.slurp", module_args=arguments, task_vars=task_vars)
            found.append(None if answer.get("failed") else base64.b64decode(answer["content"]))
        if found[0] is None:
            raise InferenceError(
                f"{directory} on the host holds no bundle: it has no {BUNDLE_MANIFEST_FILE} that can be read."
            )
        return found[0], found[1]

    def _transfer(
        self,
        directory: Path,
        arguments: dict[str, Any],
        asked: dict[str, Any],
        sizes: dict[str, int],
        task_vars: dict[str, Any],
    ) -> dict[str, Any]:
        """Bring the files of ``sizes``, batch by batch, and return what the module said of the last."""
        for part, (dest, free) in asked["room"].items():
            refuse_without_room(Path(dest), sum(sizes[path] for path in sizes if path.startswith(f"{part}/")), free)
        result: dict[str, Any] = {}
        for batch in _batches(sizes):
            remote = self._make_tmp_path()
            try:
                brought = {}
                for number, path in enumerate(batch):
                    brought[path] = self._connection._shell.join_path(remote, f"{number}-{os.path.basename(path)}")
                    self._transfer_file(str(directory / path), brought[path])
                # Not a check of everything once more, only of what came.
                again = {**arguments, "brought": brought, "recheck": False}
                result = dict(self._execute_module(module_args=again, task_vars=task_vars))
            finally:
                self._remove_tmp_path(remote, force=True)
            if result.get("failed"):
                return result
        if result["missing"]:
            raise InferenceError(f"{result['missing'][0]} was transferred and is still missing on the host; run again.")
        # Those that were not in their places when this began.
        return {**result, "changed_parts": asked["changed_parts"]}


def _batches(sizes: dict[str, int]) -> Iterator[list[str]]:
    """Yield the paths in groups of so many bytes at the most."""
    batch: list[str] = []
    for path, size in sizes.items():
        if batch and sum(sizes[one] for one in batch) + size > _BATCH_BYTES:
            yield batch
            batch = []
        batch.append(path)
    if batch:
        yield batch


def _record() -> Path:
    """Where the controller keeps what it has verified."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "llmops-inference" / "bundle-verified.json"
