# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches one model from a hub with huggingface_hub's own downloader.

Argument: a JSON object with ``repo_id``, ``revision``, ``path`` (where to), ``ignore_patterns``, ``min_free_bytes`` (to
leave free) and ``endpoint`` (empty: the library's default).  The access token, or nothing, comes on standard input: a
command line and an environment can be read by others.  Fails with one line on standard error that says what to do.

What a fetch that was interrupted left is kept, and the next one goes on from there.  The record, written last, says
that the model is complete.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

RECORD = ".fetched.json"


def gib(size: int) -> str:
    """Return a number of bytes as a person reads it."""
    return f"{size / 2**30:.2f} GiB"


def wanted_files(info: Any, ignore_patterns: list[str]) -> dict[str, int]:
    """Return the size in bytes of each file of the repository that is wanted."""
    return {
        file.rfilename: file.size
        for file in info.siblings
        if not any(fnmatch.fnmatch(file.rfilename, pattern) for pattern in ignore_patterns)
    }


def bytes_to_fetch(directory: Path, files: dict[str, int]) -> int:
    """Return how many bytes are not there yet."""
    total = 0
    for name, size in files.items():
        path = directory / name
        if not path.is_file() or path.stat().st_size != size:
            total += size
    return total


def fetch(request: dict[str, Any], token: str | None) -> None:
    """Fetch the model, check it and record it."""
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415  (imported once the arguments are known)

    directory = Path(request["path"])
    api = HfApi(endpoint=request["endpoint"] or None, token=token or False)
    info = api.model_info(request["repo_id"], revision=request["revision"], files_metadata=True)
    files = wanted_files(info, request["ignore_patterns"])

    directory.parent.mkdir(parents=True, exist_ok=True)
    missing, free = bytes_to_fetch(directory, files), shutil.disk_usage(directory.parent).free
    if missing + request["min_free_bytes"] > free:
        raise SystemExit(
            f"{request['repo_id']} needs {gib(missing)} more in {directory}, and {gib(request['min_free_bytes'])}"
            f" are to stay free (vllm_models_min_free_bytes), but only {gib(free)} are free. Free some, choose another"
            " vllm_models_directory, or leave files out with ignore_patterns."
        )
    (directory / RECORD).unlink(missing_ok=True)
    snapshot_download(
        request["repo_id"],
        revision=info.sha,
        local_dir=directory,
        ignore_patterns=request["ignore_patterns"],
        endpoint=request["endpoint"] or None,
        token=token or False,
    )
    if bytes_to_fetch(directory, files):
        raise SystemExit(f"{request['repo_id']} is not complete in {directory} after its download; run again.")
    record = {
        "commit": info.sha,
        "files": files,
        "repo_id": request["repo_id"],
        "revision": request["revision"],
    }
    temporary = directory / (RECORD + ".new")
    temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(directory / RECORD)
    # The library's notes for going on with a fetch, among them locks that everyone may write to.
    shutil.rmtree(directory / ".cache", ignore_errors=True)


def main() -> None:
    """Fetch, and say in one line what went wrong."""
    os.umask(0o022)
    request = json.loads(sys.argv[1])
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    # What the library keeps for itself stays beside the models, not in root's home.
    os.environ["HF_HOME"] = str(Path(__file__).resolve().parent / ".hub")
    token = sys.stdin.read().strip()
    try:
        fetch(request, token)
    except Exception as error:  # the library's errors have no common base that means "cannot fetch"
        reason = " ".join(str(error).split())
        if token:
            reason = reason.replace(token, "***")
        raise SystemExit(
            f"{request['repo_id']} at {request['revision']} could not be fetched: {type(error).__name__}: {reason}"
        ) from None


if __name__ == "__main__":
    main()
