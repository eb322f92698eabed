# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's reader of requests, in the two Luas of Debian's HAProxy: never laxer than the engine's own parser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lupa.lua53
import lupa.lua54
import pytest
from hypothesis import given
from hypothesis import strategies as st

SOURCE = Path(__file__).resolve().parents[4] / "roles/vllm_gateway/files/request.lua"

Reader = Callable[[bytes], "str | None"]


def reader(lua: Any) -> Reader:
    """Return what reads the model out of a body; None for a body that is refused."""
    model_of = lua.LuaRuntime(encoding=None).execute(SOURCE.read_bytes())

    def read(body: bytes) -> str | None:
        found = model_of(body)
        return None if isinstance(found, tuple) else found.decode("utf-8", "surrogatepass")

    return read


READERS = {"5.3": reader(lupa.lua53), "5.4": reader(lupa.lua54)}
EVERY_LUA = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


def engine_reads(body: bytes) -> str | None:
    """Return the model that Python's parser, the engine's own, finds; None where there is none to be found."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    model = found.get("model") if isinstance(found, dict) else None
    return model if isinstance(model, str) else None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)
# A control character in the name of a model is refused: no model has one, and a log line or a header could break at it.
MODELS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]))
REQUESTS = st.builds(lambda rest, model: {**rest, "model": model}, st.dictionaries(st.text(), JSON, max_size=4), MODELS)


@EVERY_LUA
@given(body=REQUESTS, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_it_reads_what_clients_write(read: Reader, body: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(body, ensure_ascii=ascii_only, indent=indent)
    # Python writes characters beyond 16 bits as pairs of escapes, which no name of a model needs.
    if ascii_only and any(ord(character) > 0xFFFF for character in body["model"]):
        return
    assert read(text.encode()) == body["model"]


@EVERY_LUA
@given(body=REQUESTS, cut=st.integers(0, 400), put=st.binary(max_size=3), drop=st.integers(0, 3))
def test_what_it_accepts_the_engine_reads_the_same(
    read: Reader, body: dict[str, Any], cut: int, put: bytes, drop: int
) -> None:
    text = json.dumps(body).encode()
    damaged = text[:cut] + put + text[cut + drop :]
    found = read(damaged)
    if found is not None and not any(0xD800 <= ord(character) < 0xE000 for character in found):
        assert found == engine_reads(damaged), damaged


@EVERY_LUA
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'"model"',
        b'{"model": "a"',
        b'{"model": "a",}',
        b'{"model": "a"} {}',
        b'{"model": "a", "model": "b"}',
        b'{"model": "a", "mod\\u0065l": "b"}',
        b'{"\\u006dodel": "a", "model": "b"}',
        b'{"model": ["a"]}',
        b'{"model": null}',
        b'{"x": {"model": "a"}}',
        b'{"model": "a", "x": 01}',
        b'{"model": "a", "x": 1.}',
        b'{"model": "a", "x": +1}',
        b'{"model": "a", "x": NaN}',
        b'{"model": "a", "x": Infinity}',
        b'{"model": "a", "x": tru}',
        b"{'model': 'a'}",
        b'{"model": "a\n"}',
        b'{"model": "a\\n"}',
        b'{"model": "a\\u001f"}',
        b'{"model": "a\\x"}',
        b'{"model": "a\\u12"}',
        b'{"model" "a"}',
        b'{"model": "a" "x": 1}',
        b'{"model": "a", "x": [1 2]}',
        b'{"model": "a", "x": [1,]}',
        b'{"model": "a", "x": "\xff"}',
        b'{"model": "a", "x": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"model": "a"}',
        '{"model": "a"}'.encode("utf-16"),
        b'{"model": "a", "x": ' + b"[" * 101 + b"]" * 101 + b"}",
    ],
)
def test_it_refuses(read: Reader, body: bytes) -> None:
    assert read(body) is None


@EVERY_LUA
def test_it_reads_escapes_as_the_engine_does(read: Reader) -> None:
    for text in (r"a\u0041", r"\\u0041", r"\"\/\\", r"\u00e9\\\u0041b", r"\\\\n"):
        body = f'{{"model": "{text}"}}'.encode()
        assert read(body) == engine_reads(body), text


@EVERY_LUA
def test_a_prompt_of_128k_tokens_is_read(read: Reader) -> None:
    prompts = ["A line of a long document.\n" * 26_000, list(range(131_072))]
    for prompt in prompts:
        body = json.dumps({"model": "mini", "prompt": prompt}).encode()
        assert read(body) == "mini"
