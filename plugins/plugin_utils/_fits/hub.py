# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model on a hub, read without its weights: config.json, the index, and the header of each safetensors file.

They are written into a directory in which every safetensors file has its header and its size and no content: a sparse
file. The reader of model directories (``_model/checkpoint.py``) reads it like any other, with all of its checks.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._model.checkpoint import (
    CONFIG,
    INDEX,
    MAX_HEADER_BYTES,
    MAX_JSON_BYTES,
)
from ansible_collections.llmops.inference.plugins.module_utils._values import shown

from .web import HubClient, RefusedError

PUBLIC = "https://huggingface.co"
SECONDS = 60.0  # for everything together
MOST_BYTES = 256 << 20  # for everything together; the headers of the largest public models are some 50 MiB
MOST_FILES = 2000
AT_A_TIME = 8
FIRST_BYTES = 1 << 17  # most headers fit into the first request

# Small files that say more of a model's weights than config.json does, where they are there.
BESIDE_CONFIG = ("hf_quant_config.json", "quantize_config.json", "quant_config.json")

_REPOSITORY = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@(?P<revision>[\w.-]{1,200}))?")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_repository(text: str) -> bool:
    """Whether a text is OWNER/NAME or OWNER/NAME@REVISION."""
    return _REPOSITORY.fullmatch(text) is not None and ".." not in text


def token(environment: Mapping[str, str]) -> str | None:
    """Return the token that the hub's own tools would send, from the environment or from their file."""
    stated = environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN")
    if stated:
        return stated.strip() or None
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or os.path.join(cache, "huggingface")
    path = Path(environment.get("HF_TOKEN_PATH") or os.path.join(home, "token")).expanduser()
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def fetch_headers(repository: str, directory: Path, environment: Mapping[str, str], seconds: float = SECONDS) -> str:
    """Write what a hub reports of a model's shape into ``directory``; return the commit that was read.

    Raises InferenceError for a repository that cannot be read, with the way out.
    """
    match = _REPOSITORY.fullmatch(repository)
    if match is None:
        raise InferenceError(f"{shown(repository)} is no name of a model on a hub, such as Qwen/Qwen3-8B.")
    if environment.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:
        raise InferenceError(f"HF_HUB_OFFLINE is set: state a directory or a config.json instead of {repository}.")
    base = environment.get("HF_ENDPOINT") or PUBLIC
    with HubClient(base, token(environment), seconds, MOST_BYTES) as client:
        try:
            return _Repository(client, match["name"], match["revision"] or "main").write(directory)
        except RefusedError as error:
            raise InferenceError(_refusal(error, repository, client), status=error.status) from None


class _Repository:
    """A model's files at one commit."""

    def __init__(self, client: HubClient, name: str, revision: str) -> None:
        self.client, self.name = client, name
        path = f"api/models/{name}/revision/{revision}"
        listing = _dictionary(client.get(path, MAX_JSON_BYTES), f"{client.host}: the list of files of {name}")
        entries = listing.get("siblings")
        names = [entry.get("rfilename") for entry in _items(entries) if isinstance(entry, Mapping)]
        self.files = {name for name in names if isinstance(name, str) and _FILE.fullmatch(name)}
        commit = listing.get("sha")
        self.commit = commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else revision

    def write(self, directory: Path) -> str:
        if CONFIG not in self.files:
            raise InferenceError(
                f"{self.name} on {self.client.host} has no {CONFIG}; name a model of transformers' format, or state a "
                "geometry."
            )
        for name in (CONFIG, INDEX, *BESIDE_CONFIG):
            if name in self.files:
                (directory / name).write_bytes(self.client.get(self._path(name), MAX_JSON_BYTES))
        weights = sorted(self._weights(directory))
        if len(weights) > MOST_FILES:
            raise InferenceError(f"{self.name} has {len(weights)} safetensors files; {MOST_FILES} at most are read.")
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            started = [pool.submit(self._write_header, name, directory / name) for name in weights]
            try:
                for one in wait(started, return_when=FIRST_EXCEPTION).done:
                    one.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.client.shut()
                raise
        return self.commit

    def _weights(self, directory: Path) -> Iterable[str]:
        """Return the files whose headers are wanted: those of the index, else all that are safetensors."""
        present = {name for name in self.files if name.endswith(".safetensors")}
        if INDEX not in self.files:
            return present
        mapped = _dictionary((directory / INDEX).read_bytes(), f"{self.name}/{INDEX}").get("weight_map")
        named = set(mapped.values()) if isinstance(mapped, Mapping) and _are_texts(mapped.values()) else set()
        return present & named

    def _write_header(self, name: str, file: Path) -> None:
        """Write a file that has the header and the size of the one on the hub."""
        path = self._path(name)
        start = self.client.part(path, 0, FIRST_BYTES)
        if start.whole is None:
            raise InferenceError(f"{self.client.host} does not tell the size of {path}.")
        header, length = start.content, 8 + int.from_bytes(start.content[:8], "little")
        if len(header) < min(FIRST_BYTES, start.whole):
            raise InferenceError(f"{self.client.host} broke off {path} after {len(header)} bytes. Try again.")
        # A header that is longer than allowed, or than its file, is refused by whoever reads the directory.
        if len(header) < length <= min(8 + MAX_HEADER_BYTES, start.whole):
            header += self.client.part(path, len(header), length).content
            if len(header) < length:
                raise InferenceError(f"{self.client.host} broke off {path} after {len(header)} bytes. Try again.")
        try:
            with file.open("wb") as stream:
                stream.write(header[:length])
                stream.truncate(max(start.whole, stream.tell()))
        except OSError as error:
            raise InferenceError(
                f"The header of {path} cannot be kept in {file.parent} while it is read: {error.strerror}."
            ) from error

    def _path(self, name: str) -> str:
        return f"{self.name}/resolve/{self.commit}/{name}"


def _refusal(error: RefusedError, repository: str, client: HubClient) -> str:
    """Return what an answer of a hub means, and what to do."""
    if error.code == "GatedRepo" or error.status == 403:
        return (
            f"{repository} is gated: accept its terms at {client.base}/{repository.split('@', maxsplit=1)[0]}, and set "
            "HF_TOKEN to a token of that account."
        )
    if error.status in {401, 404} and error.code != "RevisionNotFound":
        return (
            f"{client.host} has no model {repository}, or does not show it: check the name, or set HF_TOKEN to a token "
            "that may read it. A directory or a config.json can be stated instead."
        )
    if error.status == 404:
        return f"{repository} has no such revision on {client.host}."
    if error.status == 429:
        return f"{client.host} allows no more requests for now (429); try again later, or set HF_TOKEN."
    return f"{error} Try again later, or state the path of a config.json as model."


def _dictionary(content: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InferenceError(f"{where} is no JSON dictionary: {shown(content[:80].decode('utf-8', 'replace'))}.")
    return value


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
