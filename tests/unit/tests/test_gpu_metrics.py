# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules read what nvitop-exporter 1.7.2 reports of an H100 at work, as it was recorded."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
RECORDED = HERE / "recorded" / "nvitop-exporter-1.7.2-h100.prom"
RULES = HERE.parents[1] / "roles" / "vllm_monitoring" / "templates" / "vllm.rules.yml.j2"


def test_every_metric_of_a_gpu_that_the_rules_read_is_there_and_has_a_value() -> None:
    samples = re.findall(r'^(gpu_\w+)\{.*uuid="GPU-[0-9a-f-]+"\} ([0-9.]+)$', RECORDED.read_text(), re.MULTILINE)
    values = {name: float(value) for name, value in samples}
    read = set(re.findall(r"label_replace\((gpu_\w+),", RULES.read_text()))
    assert read == {"gpu_memory_used_MiB", "gpu_utilization_Percentage", "gpu_power_usage_W", "gpu_temperature_C"}
    assert {name: values.get(name, 0) > 0 for name in read} == dict.fromkeys(read, True)
