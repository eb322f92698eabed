# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print by how much the plan's arithmetic misses published starts: tokens given the cache, and weights of a rank.

Run it as ``python tests/bench/measured_starts.py`` with the collection on the path. Each line is one row; the last
lines are the means and the worst rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.llmops.inference.tests.unit.known_models import Start, starts


def line(start: Start) -> str:
    """Return one row with its residuals in percent."""
    row = start.row
    told = f"{row['model']} {row['gpu']} x{row['tp']} {row['kv_dtype']} {row['max_seq_len']} {row['vllm']}"
    return f"{told:90s} tokens {start.tokens_error:+7.3f} %  weights {start.weights_error:+7.3f} %"


def summary(name: str, errors: Sequence[float]) -> str:
    """Return mean and worst of the errors' sizes."""
    sizes = [abs(error) for error in errors]
    return f"{name}: mean {sum(sizes) / len(sizes):.3f} %, worst {max(sizes):.3f} % of {len(sizes)} rows"


def main() -> None:
    """Print every row, then the summary."""
    found, without = starts()
    for start in found:
        print(line(start))
    for row in without:
        print(f"{row['model']}: no config.json on record, row left out")
    print(summary("tokens", [start.tokens_error for start in found]))
    print(summary("weights", [start.weights_error for start in found]))


if __name__ == "__main__":
    main()
