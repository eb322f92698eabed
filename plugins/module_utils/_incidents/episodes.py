# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Out of journal and kernel log: which services went down unasked, when, why and for how long. Pure.

A *life* is one start of a service until its end, a *crash* an end that nobody asked systemd for. Attempts that fail
the same way one after the other are one incident until the service serves again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .._gpu.xid import DEGRADED, FAILED, Xid, parse_xid
from .cause import cause
from .journal import Entry
from .lines import Written

# systemd's own names of its messages (systemd/sd-messages.h).
_STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5"
_EXITED = "98e322203f7a4ed290d09fe03c09fe15"
_KILLED_FOR_MEMORY = "fe6faa94e7774663a0da52717891d8ef"
_STARTED = "39f53479d3a045ac8e11786248231fbf"
_STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"
_STOPPED = "9d1aaa27d60140bd96365438aad20286"
_FAILED = "d9b373ed55a64feb8242e02dbe79a49c"
_ENDED_WELL = "7ad2d189f7e94e70a38c781354912448"
_RESTARTING = "5eb03494b6584870a536b337290809b3"
# The kernel's line may come before the end that follows from it, or be written a little after.
_BEFORE_SECONDS, _AFTER_SECONDS = 120.0, 10.0
# Between the end of a start that was asked to end and its stop; systemd restarts after more (RestartSec=).
_BREATH_SECONDS = 0.5
# The same Xid error of the same GPU within this time is the same incident.
_XID_SECONDS = 600.0
_UNIT = re.compile(r"vllm@([a-z0-9_.-]+)\.service")
_WATCHDOG = re.compile(r"vllm-watchdog@([a-z0-9_.-]+)\.service")


@dataclass(frozen=True)
class Life:
    """One start of a service: Unix times of its start, its first token and its end, and what was said of it.

    A start that is not in the journal is at 0. ``asked``: its end was asked for; ``restarted``: systemd scheduled
    another start after it. ``said`` are the lines of others that may explain its end.
    """

    service: str
    invocation: str
    started: float
    serving: float | None = None
    ended: float | None = None
    asked: bool = False
    restarted: bool = False
    said: tuple[str, ...] = ()

    @property
    def crashed(self) -> bool:
        """It ended, and nobody wanted that."""
        return self.ended is not None and not self.asked


@dataclass(frozen=True)
class Episode:
    """One incident. Times are Unix times.

    ``service`` and ``invocation`` are None for trouble of a GPU that hit no service; ``serving`` says whether the
    service served when it happened, ``restarts`` how often systemd started it again, ``lost_seconds`` how long it
    took until it served again, None where it does not. ``gpu`` is a PCI address.
    """

    time: float
    kind: str
    line: str
    remedy: str
    service: str | None = None
    invocation: str | None = None
    serving: bool = False
    restarts: int = 0
    lost_seconds: float | None = None
    gpu: str | None = None


def lives(entries: Iterable[Entry]) -> list[Life]:
    """Return the starts of all services, by time, out of what systemd and the watchdogs wrote (oldest first)."""
    found: list[Life] = []
    now: dict[str, int] = {}  # service -> place of its current life
    heard: dict[str, list[str]] = {}  # service -> what its watchdog said of a life of which nothing else is told yet
    for entry in entries:
        watched = _WATCHDOG.fullmatch(entry.unit)
        match = watched or _UNIT.fullmatch(entry.unit)
        if match is None:
            continue
        name = match.group(1)
        begins = entry.message_id in (_STARTING, _STARTED)
        unknown = name not in now or (begins and found[now[name]].invocation != entry.invocation)
        if unknown and not watched and entry.invocation:
            # What is first told of a life that had begun before is its end; it had served until then.
            now[name] = len(found)
            began, serving = (entry.time, None) if begins else (0.0, entry.time)
            said = tuple(heard.pop(name, ()))
            found.append(Life(name, entry.invocation, began, serving, said=() if begins else said))
        if name in now:
            found[now[name]] = _told(found[now[name]], entry)
        elif watched:
            heard.setdefault(name, []).append(entry.text)
    return found


def _told(life: Life, entry: Entry) -> Life:
    """Return the life after one more line about it."""
    kind = entry.message_id
    if kind == _STARTED and life.serving is None:
        return replace(life, serving=entry.time)
    if kind == _STOPPING and life.ended is None:
        return replace(life, asked=True)
    if kind == _STOPPED and life.ended is not None and not life.restarted:
        # A start that is broken off fails and is stopped in one breath, without having been said to stop.
        return replace(life, asked=life.asked or entry.time - life.ended < _BREATH_SECONDS)
    if kind == _RESTARTING:
        return replace(life, restarted=True)
    if kind in (_FAILED, _ENDED_WELL) and life.ended is None:
        return replace(life, ended=entry.time, said=(*life.said, entry.text))
    # What has no name of its own are warnings, such as that of a start that took too long, and the watchdog's words.
    return replace(life, said=(*life.said, entry.text)) if kind in ("", _EXITED, _KILLED_FOR_MEMORY) else life


def find_incidents(
    told: Sequence[Life],
    kernel: Sequence[Entry],
    written: Mapping[str, Sequence[Entry]],
    gpus: Mapping[str, Sequence[str]],
) -> list[Episode]:
    """Return what happened, oldest first.

    ``written`` has what the processes of a crashed life wrote, by invocation; ``gpus`` the PCI addresses of each
    service's GPUs.
    """
    log = _KernelLog(kernel, gpus)
    found: list[Episode] = []
    open_ones: dict[str, list[int]] = {}  # service -> places of its incidents since it served last
    for life in told:
        if life.serving is not None:
            for place in open_ones.pop(life.service, ()):
                found[place] = replace(found[place], lost_seconds=life.serving - found[place].time)
        if life.asked:
            open_ones.pop(life.service, None)
        if not life.crashed or life.ended is None:
            continue
        episode = _episode(life, log.about(life, written.get(life.invocation, ())), written.get(life.invocation, ()))
        places = open_ones.setdefault(life.service, [])
        if places and found[places[-1]].kind == episode.kind:
            found[places[-1]] = replace(found[places[-1]], restarts=found[places[-1]].restarts + episode.restarts)
            continue
        places.append(len(found))
        found.append(episode)
    return sorted([*found, *log.rest()], key=lambda episode: episode.time)


def _episode(life: Life, kernel: Sequence[str], written: Sequence[Entry]) -> Episode:
    own = (Written(entry.text, entry.time, entry.pid) for entry in written)
    end = (Written(text, life.ended) for text in life.said)
    incident = cause([*kernel, *own, *end])
    xid = parse_xid(incident.line)
    return Episode(
        time=life.ended or life.started,
        kind=incident.kind,
        line=incident.line,
        remedy=incident.remedy,
        service=life.service,
        invocation=life.invocation,
        serving=life.serving is not None,
        restarts=int(life.restarted),
        gpu=xid.pci if xid else None,
    )


@dataclass
class _KernelLog:
    """The kernel's lines, given to the ends that they explain; what explains none is trouble of its own."""

    entries: Sequence[Entry]
    gpus: Mapping[str, Sequence[str]]
    used: set[int] = field(default_factory=set)

    def about(self, life: Life, written: Sequence[Entry]) -> list[str]:
        """The lines that name this life: its unit, one of its processes, or one of its service's GPUs."""
        end = life.ended or life.started
        pids = {entry.pid for entry in written} - {0}
        found = []
        for place, entry in enumerate(self.entries):
            near = max(life.started, end - _BEFORE_SECONDS) <= entry.time <= end + _AFTER_SECONDS
            if near and self._names(entry.text, life.service, pids):
                self.used.add(place)
                found.append(entry.text)
        return found

    def _names(self, text: str, service: str, pids: set[int]) -> bool:
        xid = parse_xid(text)
        if xid is not None:
            return xid.pid in pids or xid.pci in self.gpus.get(service, ())
        owner = _owner(text)
        return owner == service or (owner is None and any(f"process {pid} " in text for pid in pids))

    def rest(self) -> list[Episode]:
        """Xid errors and killings that ended no service."""
        found: list[Episode] = []
        last: dict[tuple[str, int], float] = {}
        for place, entry in enumerate(self.entries):
            if place in self.used:
                continue
            xid = parse_xid(entry.text)
            if xid is not None and xid.code in FAILED | DEGRADED:
                key = (xid.pci, xid.code)
                if entry.time - last.get(key, float("-inf")) > _XID_SECONDS:
                    found.append(self._alone(entry, xid))
                last[key] = entry.time
            elif _owner(entry.text) is not None:
                found.append(self._alone(entry, None))
        return found

    def _alone(self, entry: Entry, xid: Xid | None) -> Episode:
        incident = cause([entry.text])
        hit = [name for name, addresses in self.gpus.items() if xid is not None and xid.pci in addresses]
        service = _owner(entry.text) if xid is None else hit[0] if len(hit) == 1 else None
        gpu = xid.pci if xid else None
        return Episode(entry.time, incident.kind, incident.line, incident.remedy, service=service, gpu=gpu)


def _owner(text: str) -> str | None:
    """The service in whose cgroup the kernel killed a process."""
    match = _UNIT.search(text.partition("task_memcg=")[2]) if "oom-kill:" in text else None
    return match.group(1) if match else None
