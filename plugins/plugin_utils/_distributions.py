# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantiles of the three distributions that intervals need, so that a controller needs no SciPy for a verdict.

Tests hold them to SciPy's. Probabilities are strictly between 0 and 1.
"""

from __future__ import annotations

import math
from typing import Callable

_TINY = 1e-300
_TERMS = 100000


def student_t_quantile(probability: float, freedom: float) -> float:
    """Return the t below which ``probability`` of Student's distribution with ``freedom`` degrees lies."""
    tail = 2.0 * min(probability, 1.0 - probability)
    if tail == 1.0:
        return 0.0
    x = beta_quantile(tail, freedom / 2.0, 0.5)
    t = math.sqrt(freedom * (1.0 - x) / x)
    return t if probability > 0.5 else -t


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the x in 0..1 below which ``probability`` of the beta distribution lies."""
    return _inverse(lambda x: _beta(x, a, b), probability, 0.0, 1.0)


def gamma_quantile(probability: float, shape: float) -> float:
    """Return the x below which ``probability`` of the gamma distribution with scale 1 lies."""
    high = shape + 10.0
    while _gamma(high, shape) < probability:
        high *= 2.0
    return _inverse(lambda x: _gamma(x, shape), probability, 0.0, high)


def _inverse(function: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Halve until two neighbours among the floating-point numbers are left."""
    while True:
        middle = (low + high) / 2.0
        if middle in (low, high):
            return middle
        low, high = (middle, high) if function(middle) < wanted else (low, middle)


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, as a continued fraction (Lentz)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta(1.0 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    total = d
    for m in range(1, _TERMS):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away_from_zero(1.0 + factor * d)
            c = _away_from_zero(1.0 + factor / c)
            total *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * total


def _gamma(x: float, shape: float) -> float:
    """The regularised lower incomplete gamma function: a series below its middle, a continued fraction above."""
    if x <= 0.0:
        return 0.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1.0:
        term = total = 1.0 / shape
        for n in range(1, _TERMS):
            term *= x / (shape + n)
            total += term
            if term < total * 1e-16:
                break
        return front * total
    b = x + 1.0 - shape
    c, d = 1.0 / _TINY, 1.0 / b
    fraction = d
    for n in range(1, _TERMS):
        factor = -n * (n - shape)
        b += 2.0
        d = 1.0 / _away_from_zero(factor * d + b)
        c = _away_from_zero(b + factor / c)
        fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return 1.0 - front * fraction


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
