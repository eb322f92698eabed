# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The coefficients of the overhead are those of the fit, and the fit keeps its targets."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._plan.overhead import FITTED
from ansible_collections.llmops.inference.tests.bench.overhead.fit import HELD, ROUGH, errors, every_start, fit
from ansible_collections.llmops.inference.tests.bench.overhead.report import UNITS, complaints, judged, summary


def test_every_published_start_with_a_known_shape_and_every_own_one_is_fitted() -> None:
    found = every_start()
    assert sum(start.count for start in found if not start.own) == 185
    assert sum(start.count for start in found if start.own) == 20


def test_the_coefficients_are_what_the_fit_finds_rounded() -> None:
    found = fit(every_start())
    for item in fields(FITTED):
        assert getattr(FITTED, item.name) == pytest.approx(getattr(found, item.name), rel=0.01), item.name
    assert set(UNITS) == {item.name for item in fields(FITTED)}
    assert all(getattr(found, name) == getattr(ROUGH, name) for name in HELD)


def test_the_fit_keeps_its_targets_without_any_start_of_the_model() -> None:
    assert complaints() == []
    whole = summary(judged())
    assert whole.left_out_mean < 0.10
    assert whole.planned_optimism < 0.5


def test_no_start_on_record_took_more_than_a_plan_keeps_but_for_rounding() -> None:
    for error in judged():
        assert error.start.overhead_gib <= error.careful_gib + 0.02, error.start


def test_wrong_coefficients_miss_the_targets() -> None:
    assert summary(errors(every_start(), replace(FITTED, logit_sorted=20.0))).mean > 0.15
