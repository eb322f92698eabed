# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of engines have the order of PEP 440."""

from __future__ import annotations

from itertools import combinations

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._versions import parse_version
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version as Pep440

IN_ORDER = (
    "0.9.2",
    "0.10.0.dev3",
    "0.10.0a1",
    "0.10.0b2",
    "0.10.0rc1.dev4",
    "0.10.0rc1",
    "0.10.0rc2",
    "0.10.0rc11",
    "0.10.0",
    "0.10.0.post1.dev2",
    "0.10.0.post1",
    "0.10.1",
    "0.11",
    "1.0",
)
VERSIONS = st.builds(
    lambda release, phase, post, dev, local: ".".join(map(str, release)) + phase + post + dev + local,
    st.lists(st.integers(0, 40), min_size=1, max_size=4),
    st.sampled_from(["", "a1", "b2", "rc1", "rc10", "-rc.2"]),
    st.sampled_from(["", ".post1", ".post12"]),
    st.sampled_from(["", ".dev0", ".dev3"]),
    st.sampled_from(["", "+cpu", "+rhaiv.7", "+gabc123"]),
)


def test_candidates_come_before_their_release_and_post_releases_after() -> None:
    parsed = [parse_version(text) for text in IN_ORDER]
    assert all(a < b for a, b in combinations(parsed, 2))


@pytest.mark.parametrize("other", ["0.32", "v0.32.0", "0.32.0.0", "0.32.0+cpu", " 0.32.0 "])
def test_spellings_and_builds_of_one_version_are_equal(other: str) -> None:
    assert parse_version(other) == parse_version("0.32.0")
    assert hash(parse_version(other)) == hash(parse_version("0.32.0"))


@given(VERSIONS, VERSIONS)
def test_the_order_is_that_of_pep_440_without_local_parts(one: str, other: str) -> None:
    a, b = Pep440(one.partition("+")[0]), Pep440(other.partition("+")[0])
    assert (parse_version(one) < parse_version(other)) == (a < b)
    assert (parse_version(one) == parse_version(other)) == (a == b)


@pytest.mark.parametrize("text", ["latest please", "latest", "", "0.x", "0..1", "0.32.0; rm", "1!0.32.0", None, 0.32])
def test_what_is_no_version_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(InferenceError, match=r"engine_version must be a version such as 0\.32\.0"):
        parse_version(text)  # type: ignore[arg-type]
