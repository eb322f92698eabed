# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a GPU of a compute capability cannot do for a service, and the flag that helps. Pure.

The limits are the engine's: ``get_min_capability`` below ``vllm/model_executor/layers/quantization`` and
``vllm/platforms/cuda.py`` of 0.32.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .._gpu.topology import Gpu
from .._model.geometry import Geometry
from .engine_versions import behaviour
from .layout import Service

BFLOAT16 = 80  # also FlashAttention
FP8 = 89
NVFP4 = 100


@dataclass(frozen=True)
class QuantizationSupport:
    """From ``least`` on a method runs at all, from ``native`` on in the card's own arithmetic."""

    title: str
    least: int
    native: int
    instead: str  # what an older card can take


QUANTIZATIONS: Mapping[str, QuantizationSupport] = {
    "fp8": QuantizationSupport("FP8 weights", 75, FP8, "a checkpoint in GPTQ, or in 16 bits"),
    "fbgemm_fp8": QuantizationSupport("FP8 weights", 80, FP8, "a checkpoint in AWQ or GPTQ"),
    "nvfp4": QuantizationSupport("NVFP4 weights", 75, NVFP4, "a checkpoint in GPTQ"),
    "mxfp4": QuantizationSupport("MXFP4 weights", 80, 90, "a checkpoint in AWQ or GPTQ"),
    "awq": QuantizationSupport("AWQ weights", 75, 75, "a checkpoint in GPTQ with dtype: float16"),
}


def capability_of(gpu: Gpu) -> int | None:
    """Return the compute capability as the engine compares it, 8.9 as 89; None where nobody tells it."""
    major, _dot, minor = (gpu.compute_capability or "").partition(".")
    return int(major) * 10 + int(minor or 0) if major.isdigit() and (minor or "0").isdigit() else None


def method_of(geometry: Geometry) -> QuantizationSupport | None:
    """Return what is known of the model's quantization; None where a card's capability does not matter."""
    stated = geometry.quantization
    if stated is None:
        return None
    if any(scheme.kind == "nvfp4" for scheme in (stated.default, *(scheme for _name, scheme in stated.named))):
        return QUANTIZATIONS["nvfp4"]
    name = stated.method.replace("-", "_")
    if "nvfp4" in name or ("fp4" in name and "modelopt" in name):
        return QUANTIZATIONS["nvfp4"]
    if "fp8" in name and "fbgemm" not in name:
        return QUANTIZATIONS["fp8"]
    return QUANTIZATIONS.get(name)


def card_obstacle(service: Service, geometry: Geometry, gpu: Gpu, engine_version: str | None) -> str | None:
    """Return why that GPU cannot run the service, with the way out; None where it can."""
    capability = capability_of(gpu)
    if capability is None:
        return None
    card = _card(gpu)
    method = method_of(geometry)
    if method is not None and capability < method.least:
        return f"{card} cannot run {method.title}, which take {_text(method.least)}; choose {method.instead}"
    if capability < BFLOAT16 and str(service.engine_args.get("dtype", "auto")) == "bfloat16":
        return f"{card} has no bfloat16, which takes {_text(BFLOAT16)}; set dtype: float16 in engine_args"
    least = behaviour(engine_version).least_capability
    if capability < least:
        return (
            f"{card} is older than {_text(least)}, the oldest that this engine's released wheels have code for; "
            "install an engine before 0.24, or choose another GPU"
        )
    return None


def hints(service: Service, geometry: Geometry, gpu: Gpu) -> Iterator[str]:
    """Yield what runs on that GPU otherwise than its flags say, or slower, and the flag that helps."""
    capability = capability_of(gpu)
    if capability is None:
        return
    card = _card(gpu)
    if capability < BFLOAT16:
        if geometry.dtype == "bfloat16" and str(service.engine_args.get("dtype", "auto")) == "auto":
            yield (
                f"{card} has no bfloat16, so the engine computes in float16, where large values overflow; if answers "
                "are empty or repeat, set dtype: float32 in engine_args."
            )
        if "attention-backend" not in service.engine_args:
            yield (
                f"{card} has no FlashAttention, which takes {_text(BFLOAT16)}; attention runs on slower kernels. If "
                "the engine finds none, set attention-backend: TRITON_ATTN in engine_args."
            )
    method = method_of(geometry)
    if method is not None and method.least <= capability < method.native:
        yield (
            f"{card} has no arithmetic for {method.title}, which takes {_text(method.native)}: they save memory there, "
            "and every layer unpacks them."
        )
    if service.kv_cache_dtype in ("fp8", "fp8_e4m3") and capability < FP8:
        yield (
            f"{card} has no FP8 arithmetic, which takes {_text(FP8)}; if the engine refuses the cache, set "
            "kv_cache_dtype: fp8_e5m2 or auto."
        )


def _card(gpu: Gpu) -> str:
    return f"GPU {gpu.index} ({gpu.name or 'unnamed'}, compute capability {gpu.compute_capability})"


def _text(capability: int) -> str:
    return f"compute capability {capability // 10}.{capability % 10}"
