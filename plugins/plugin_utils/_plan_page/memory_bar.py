# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of one device as a stacked bar: its services, each by component, what others hold, and what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._values import GIB, MIB
from ansible_collections.llmops.inference.plugins.plugin_utils._html.svg import element, picture, svg_text
from markupsafe import Markup

# In the order in which a bar shows them, with the words of its legend.
COMPONENTS = {
    "weights": "weights",
    "kv_cache": "KV cache",
    "transient": "transient",
    "persistent": "persistent",
    "graphs": "CUDA graphs",
    "context": "CUDA",
    "nccl": "NCCL",
}
REST = {"others": "used by others", "reserve": "kept free", "slack": "slack"}
LEGEND = {**COMPONENTS, **REST}
# What takes the place of CUDA where a NUMA node is the device.
_ON_A_CPU = {"context": "process"}

_TOP, _HEIGHT, _AXIS = 26.0, 46.0, 22.0
# A text is shown on bars that are at least so wide, in pixels; style.css has a rule for each.
_WIDTHS = (240, 480, 720, 960)


@dataclass(frozen=True)
class Segment:
    """A part of a bar; ``service`` is empty for what belongs to none."""

    service: str
    kind: str
    size: int
    name: str
    source: str = ""


def segments(device: Mapping[str, Any], services: Sequence[Mapping[str, Any]]) -> list[Segment]:
    """Return the parts of a device's memory; they sum to its total, unless more is refused than there is."""
    names = LEGEND if not device["id"].startswith("numa:") else {**LEGEND, **_ON_A_CPU}
    found = []
    for service in services:
        if device["id"] not in service["devices"]:
            continue
        memory, source = service["memory"], service["memory_source"]
        found += [
            Segment(service["name"], kind, memory[kind], names[kind], source.get(kind, "")) for kind in COMPONENTS
        ]
    # On the larger of two unlike devices a share holds more than the engine will use.
    unused = device["committed_bytes"] - sum(segment.size for segment in found)
    found.append(Segment("", "others", device["used_by_others_bytes"], names["others"]))
    found.append(Segment("", "reserve", device["reserve_bytes"], names["reserve"]))
    found.append(Segment("", "slack", max(0, device["slack_bytes"] + unused), names["slack"]))
    return [segment for segment in found if segment.size > 0]


def memory_bar(device: Mapping[str, Any], services: Sequence[Mapping[str, Any]]) -> Markup:
    """Return the picture of one device; lengths are shares of its width, so that texts keep their size on a phone."""
    parts = segments(device, services)
    whole = max(device["total_bytes"], sum(part.size for part in parts), 1)
    drawn: list[Markup] = []
    ends: dict[str, tuple[float, float]] = {}
    begin = 0.0
    for part in parts:
        width = part.size / whole * 100
        drawn.append(_segment(part, begin, width))
        if part.service:
            ends[part.service] = (ends.get(part.service, (begin, begin))[0], begin + width)
        begin += width
    names = [_bracket(name, *of_name) for name, of_name in ends.items()]
    title = f"memory of {device['name']} {device['index']}"
    return picture(title, *names, *drawn, *_axis(whole), width="100%", height=_TOP + _HEIGHT + _AXIS, class_="bar")


def size_text(size: float) -> str:
    """Return a size as a reader wants it."""
    return f"{size / GIB:.1f} GiB" if size >= GIB / 10 else f"{size / MIB:.3g} MiB"


def _segment(part: Segment, begin: float, width: float) -> Markup:
    words = [part.service, part.name, size_text(part.size), part.source]
    hint = element("title", svg_text(" · ".join(word for word in words if word)))
    rect = element(
        "rect", hint, x=_percent(begin), y=_TOP, width=_percent(width), height=_HEIGHT, class_=f"seg {part.kind}",
        data_kind=part.kind, data_service=part.service, data_bytes=part.size,
    )  # fmt: skip
    size, middle, ink = size_text(part.size), begin + width / 2, f"in {part.kind}-ink"
    with_name, alone = _shown(width, part.name, size), _shown(width, size)
    if with_name is None:
        return rect if alone is None else rect + _text(size, middle, _TOP + _HEIGHT / 2 + 4, f"{ink} small {alone}")
    name = _text(part.name, middle, _TOP + 19, f"{ink} {with_name}")
    return rect + name + _text(size, middle, _TOP + 35, f"{ink} small {with_name}")


def _shown(width: float, *words: str) -> str | None:
    """Return the class of a text in that share of the bar; None where no bar is wide enough for the longest word."""
    needed = (max(len(word) for word in words) * 7.6 + 8) * 100 / max(width, 0.01)
    return next((f"from-{least}" for least in _WIDTHS if needed <= least), None)


def _bracket(name: str, begin: float, end: float) -> Markup:
    """Return the name of a service over its parts of the bar."""
    line = element("line", x1=_percent(begin + 0.2), x2=_percent(end - 0.2), y1=_TOP - 5, y2=_TOP - 5, class_="bracket")
    shown = _shown(end - begin, name)
    return line if shown is None else line + _text(name, (begin + end) / 2, _TOP - 12, f"name {shown}")


def _axis(whole: int) -> list[Markup]:
    gib = whole / GIB
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1 << 20) if gib / step <= 10)
    y = _TOP + _HEIGHT
    drawn = []
    for number in range(int(gib // step) + 1):
        place = _percent(number * step * GIB / whole * 100)
        drawn.append(element("line", x1=place, x2=place, y1=y + 2, y2=y + 6, class_="tick"))
        anchor = "start" if number == 0 else "end" if number * step > gib * 0.95 else "middle"
        unit, least = ("", "from-480") if number % 2 else (" GiB" if number == 0 else "", "from-240")
        text = svg_text(f"{number * step}{unit}")
        drawn.append(element("text", text, x=place, y=y + 19, class_=f"tick {least}", text_anchor=anchor))
    return drawn


def _text(content: str, middle: float, y: float, class_: str) -> Markup:
    return element("text", svg_text(content), x=_percent(middle), y=y, class_=class_)


def _percent(share: float) -> str:
    return f"{share:.4f}%"
