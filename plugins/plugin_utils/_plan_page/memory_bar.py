# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of one device as a stacked bar: its services, each by component, what others hold, and what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._values import GIB, MIB
from ansible_collections.llmops.inference.plugins.plugin_utils._html.svg import box, element, label, picture, svg_text

BAR_WIDTH = 1000.0
# In the order in which a bar shows them, with the words of its legend.
COMPONENTS = {
    "weights": "weights",
    "kv_cache": "KV cache",
    "transient": "transient",
    "persistent": "persistent",
    "graphs": "CUDA graphs",
    "context": "context",
    "nccl": "communication",
}
REST = {"others": "used by others", "reserve": "kept free", "slack": "slack"}
LEGEND = {**COMPONENTS, **REST}

_TOP, _HEIGHT, _AXIS = 26.0, 46.0, 22.0
_GAP = 1.5


@dataclass(frozen=True)
class Segment:
    """A part of a bar; ``service`` is empty for what belongs to none."""

    service: str
    kind: str
    size: int
    source: str = ""


def segments(device: Mapping[str, Any], services: Sequence[Mapping[str, Any]]) -> list[Segment]:
    """Return the parts of a device's memory; they sum to its total, unless more is refused than there is."""
    found = []
    for service in services:
        if device["id"] not in service["devices"]:
            continue
        memory, source = service["memory"], service["memory_source"]
        found += [Segment(service["name"], kind, memory[kind], source.get(kind, "")) for kind in COMPONENTS]
    # On the larger of two unlike devices a share holds more than the engine will use.
    unused = device["committed_bytes"] - sum(segment.size for segment in found)
    found.append(Segment("", "others", device["used_by_others_bytes"]))
    found.append(Segment("", "reserve", device["reserve_bytes"]))
    found.append(Segment("", "slack", max(0, device["slack_bytes"] + unused)))
    return [segment for segment in found if segment.size > 0]


def memory_bar(device: Mapping[str, Any], services: Sequence[Mapping[str, Any]]) -> str:
    """Return the picture of one device."""
    parts = segments(device, services)
    whole = max(device["total_bytes"], sum(part.size for part in parts), 1)
    scale = BAR_WIDTH / whole
    drawn: list[str] = []
    starts: dict[str, tuple[float, float]] = {}
    x = 0.0
    for part in parts:
        width = part.size * scale
        drawn.append(_segment(part, x, width))
        if part.service:
            begin = starts.get(part.service, (x, x))[0]
            starts[part.service] = (begin, x + width)
        x += width
    names = [_bracket(name, *ends) for name, ends in starts.items()]
    height = _TOP + _HEIGHT + _AXIS
    title = f"memory of {device['name']} {device['index']}"
    return picture(BAR_WIDTH, height, title, *names, *drawn, *_axis(whole, scale))


def size_text(size: float) -> str:
    """Return a size as a reader wants it."""
    return f"{size / GIB:.1f} GiB" if size >= GIB / 10 else f"{size / MIB:.3g} MiB"


def _segment(part: Segment, x: float, width: float) -> str:
    words = [part.service, LEGEND[part.kind], size_text(part.size), part.source]
    hint = element("title", svg_text(" · ".join(word for word in words if word)))
    gap = min(_GAP, width / 3)
    rect = box(
        x + gap / 2, _TOP, width - gap, _HEIGHT, hint, class_=f"seg {part.kind}", rx=min(3.0, width / 2),
        data_kind=part.kind, data_service=part.service, data_bytes=part.size,
    )  # fmt: skip
    middle, size = x + width / 2, size_text(part.size)
    if width >= _text_width(LEGEND[part.kind], size):
        name = label(LEGEND[part.kind], middle, _TOP + 19, class_=f"in {part.kind}-ink")
        return rect + name + label(size, middle, _TOP + 35, class_=f"in small {part.kind}-ink")
    if width >= _text_width(size):
        return rect + label(size, middle, _TOP + _HEIGHT / 2 + 4, class_=f"in small {part.kind}-ink")
    return rect


def _text_width(*words: str) -> float:
    """How wide the longest of these needs its part of the bar to be."""
    return max(len(word) for word in words) * 7.6 + 8


def _bracket(name: str, begin: float, end: float) -> str:
    """The name of a service over its parts of the bar."""
    line = element("path", d=f"M{begin + 1:.1f} {_TOP - 3} v-5 H{end - 1:.1f} v5", class_="bracket")
    shown = name if len(name) * 7.2 < end - begin else name[: max(1, int((end - begin) / 7.2) - 1)] + "…"
    return line + label(shown, (begin + end) / 2, _TOP - 12, class_="name")


def _axis(whole: int, scale: float) -> list[str]:
    gib = whole / GIB
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1 << 20) if gib / step <= 10)
    y = _TOP + _HEIGHT
    drawn = []
    for number in range(int(gib // step) + 1):
        x = number * step * GIB * scale
        anchor = "start" if number == 0 else "end" if x > BAR_WIDTH - 30 else "middle"
        drawn.append(element("path", d=f"M{x:.1f} {y + 2} v4", class_="tick"))
        unit = " GiB" if number == 0 else ""
        drawn.append(label(f"{number * step}{unit}", x, y + 18, class_="tick", text_anchor=anchor))
    return drawn
