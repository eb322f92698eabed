# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's reader of requests, in the two Luas of Debian's HAProxy: never laxer than the engine's own parser."""

from __future__ import annotations

import json
import time
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


class Lua:
    """The gateway's program in one of the Luas."""

    def __init__(self, lua: Any) -> None:
        runtime = lua.LuaRuntime(encoding=None)
        self._request_of, self.spent_after = runtime.execute(SOURCE.read_bytes())
        self._count = runtime.execute(
            "local read = ...; return function(body) local hundreds = 0;"
            " debug.sethook(function() hundreds = hundreds + 1 end, '', 100); read(body); debug.sethook();"
            " return hundreds * 100 end",
            self._request_of,
        )

    def model(self, body: bytes) -> str | None:
        """Return the model of a body; None for a body that is refused."""
        model = self._request_of(body)[0]
        return None if model is None else str(model.decode("utf-8", "surrogatepass"))

    def sequences(self, **members: Any) -> int | None:
        """Return the sequences that a body with these members asks for; None where it is refused."""
        model, found = self._request_of(json.dumps({"model": "mini", **members}).encode())
        return None if model is None else int(found)

    def steps(self, body: bytes) -> int:
        """Return how many instructions of Lua the reading of a body takes."""
        return int(self._count(body))

    def seconds(self, body: bytes) -> float:
        """Return the CPU time that the reading of a body takes, of several times the least."""
        times = []
        for _time in range(5):
            began = time.thread_time()
            self._request_of(body)
            times.append(time.thread_time() - began)
        return min(times)


LUAS = {"5.3": Lua(lupa.lua53), "5.4": Lua(lupa.lua54)}
EVERY_LUA = pytest.mark.parametrize("read", [lua.model for lua in LUAS.values()], ids=LUAS)
EVERY_PROGRAM = pytest.mark.parametrize("lua", LUAS.values(), ids=LUAS)


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
# Keys whose values the gateway reads itself, and refuses where they are of another kind.
COUNTED = {"n", "best_of", "prompt"}
KEYS = st.text().filter(lambda key: key not in COUNTED)
REQUESTS = st.builds(lambda rest, model: {**rest, "model": model}, st.dictionaries(KEYS, JSON, max_size=4), MODELS)


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
        b'{"model": "a", "x": [1, 2 3]}',
        b'{"model": "a", "x": [1,, 2]}',
        b'{"model": "a", "x": [1, , 2]}',
        b'{"model": "a", "x": [,1, 2]}',
        b'{"model": "a", "x": [1, 2,]}',
        b'{"model": "a", "x": [1, 02]}',
        b'{"model": "a", "x": [00, 2]}',
        b'{"model": "a", "x": [1, 2.]}',
        b'{"model": "a", "x": [1, 2.5.5]}',
        b'{"model": "a", "x": [1, 2e]}',
        b'{"model": "a", "x": [1, 2-3]}',
        b'{"model": "a", "x": [1, 2"a"]}',
        b'{"model": "a", "x": \\n1}',
        b'{"model": "a"\\n}',
        b'{"model": "a", "x": "\\\\\\"}',
        b'{"model": "a", "x": "\\uD8"}',
        b'{"model": "' + b"a" * 10_000 + b'"}',
        b'{"model": "a", "n": 1, "n": 2}',
        b'{"model": "a", "prompt": "x", "pr\\u006fmpt": ["x", "y"]}',
        b'{"model": "a", "n": 1e3}',
        b'{"model": "a", "n": true}',
        b'{"model": "a", "n": "1_0"}',
        b'{"model": "a", "n": -1}',
        b'{"model": "a", "best_of": [1]}',
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


NUMBERS = st.lists(
    st.integers(0, 200_000) | st.integers() | st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=12
)


@EVERY_LUA
@given(numbers=NUMBERS, comma=st.sampled_from([",", ", ", " , ", ",\n\t", "\r\n,"]))
def test_lists_of_numbers_are_read_however_they_are_spaced(read: Reader, numbers: list[float], comma: str) -> None:
    prompt = comma.join(map(json.dumps, numbers))
    assert read(f'{{"model": "mini", "prompt": [ {prompt}\n], "x": [[{prompt}], 1]}}'.encode()) == "mini"


@EVERY_LUA
@given(text=st.text("0123456789,. \n-eE[]", max_size=30))
def test_a_list_that_it_accepts_the_engine_reads(read: Reader, text: str) -> None:
    body = f'{{"model": "mini", "prompt": [{text}]}}'.encode()
    assert (read(body) is not None) == (engine_reads(body) is not None), body


@EVERY_LUA
@given(text=st.text('\\\\u0aF"/n', max_size=20))
def test_a_string_that_it_accepts_the_engine_reads(read: Reader, text: str) -> None:
    body = f'{{"prompt": "{text}", "model": "mini"}}'.encode()
    assert (read(body) is not None) == (engine_reads(body) is not None), body


@EVERY_PROGRAM
def test_sequences_are_prompts_times_samples(lua: Lua) -> None:
    assert lua.sequences() == 1
    assert lua.sequences(prompt="a") == 1
    assert lua.sequences(prompt=["a", "b", "c"]) == 3
    assert lua.sequences(prompt=[1, 2, 3]) == 1
    assert lua.sequences(prompt=[[1, 2], [3]]) == 2
    assert lua.sequences(prompt=[["a", "b"], "c", "d"]) == 3
    assert lua.sequences(input=["a"] * 2048) == 2048
    assert lua.sequences(input=[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]) == 1
    assert lua.sequences(messages=[{"role": "user", "content": ["a", "b"]}]) == 1
    assert lua.sequences(prompt=["a", "b"], n=3) == 6
    assert lua.sequences(prompt=["a", "b"], n=3, best_of=5) == 10
    assert lua.sequences(n="4", best_of=None) == 4
    assert lua.sequences(n=2.0) == 2
    assert lua.sequences(n=0) == 1
    assert lua.sequences(n=10**30) == 2**31


@EVERY_PROGRAM
@given(steps=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 120)), max_size=40), per_minute=st.integers(1, 1000))
def test_no_minute_has_more_than_two_minutes_worth(lua: Lua, steps: list[tuple[int, int]], per_minute: int) -> None:
    # A full bucket, and what runs out of it within the minute.
    spent, since, now, taken = 0, 0, 1_800_000_000, []
    for pause, sequences in steps:
        now += pause
        after = lua.spent_after(spent, since, now, per_minute, sequences)
        if after is not None:
            spent, since = after, now
            taken.append((now, sequences))
        assert 0 <= spent <= per_minute
    for first, _sequences in taken:
        assert sum(count for moment, count in taken if first <= moment < first + 60) <= 2 * per_minute


@EVERY_PROGRAM
def test_a_key_that_waited_a_minute_has_all_of_it_again(lua: Lua) -> None:
    assert lua.spent_after(100, 1000, 1000, 100, 1) is None
    assert lua.spent_after(100, 1000, 1030, 100, 50) == 100
    assert lua.spent_after(100, 1000, 1030, 100, 51) is None
    assert lua.spent_after(100, 1000, 1060, 100, 100) == 100
    # A clock that was set back.
    assert lua.spent_after(100, 1000, 900, 100, 1) is None


def long_body(unit: str, size: int) -> bytes:
    """Return a body of that many bytes of one unit: of a list or, where it has no comma, of a string."""
    opening, closing = ("[", "1]") if unit.endswith(",") else ('"', '"')
    head = '{"model": "mini", "prompt": ' + opening
    return (head + unit * ((size - len(head)) // len(unit)) + closing + "}").encode()


MOST_STEPS = 65_536 * 200
# In bodies of 2 MiB: a million values, or as many escapes, each read one by one before there was a limit.
DENSE = ["1,", "0,", "12,", "1 ,", '"",', "[],", "{},", "-1,", "1.5,", "1,1.5,", "[1,1],", "null,", '{"":1},']
DENSE += ["\\n", "\\u0041", "\\n\\u0041", "\\\\", "a", "\u00e9", "\ud55c", "1" * 999 + ".5,", "1,1" + " " * 999 + ","]


@EVERY_PROGRAM
@pytest.mark.parametrize("unit", DENSE)
def test_the_work_for_a_body_has_a_bound(lua: Lua, unit: str) -> None:
    # Whatever its length: of some 160 instructions for each of 65,536 values at worst.
    assert lua.steps(long_body(unit, 2 << 20)) < MOST_STEPS
    assert lua.steps(long_body(unit, 4 << 20)) < MOST_STEPS


@EVERY_PROGRAM
@pytest.mark.parametrize("unit", DENSE)
def test_twice_the_bytes_are_about_twice_the_work(lua: Lua, unit: str) -> None:
    # Where a pattern of Lua tried every place anew it would be four times.
    assert lua.seconds(long_body(unit, 1 << 20)) < 3.2 * lua.seconds(long_body(unit, 1 << 19)) + 0.01
