# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference between two generations on disk, without secrets and without the code that units run."""

from __future__ import annotations

from collections.abc import Mapping

from .._generation.files import File
from .changes import Changes, Desired
from .host import Host


def disk_differences(host: Host, changes: Changes, wanted: Desired) -> list[dict[str, str]]:
    """What changes on disk, before and after, without secrets and without the code that units run."""
    base = host.deployment().base()
    before, damage = host.store.read(base), host.store.damage(base)
    shown = [path for path in changes.files if not path.startswith("lib/")]
    files = [_difference(f"{host.paths.current}/{path}", *_shown(path, before, wanted.files, damage)) for path in shown]
    links = [_difference(link, _shown_link(now), _shown_link(to)) for link, (now, to) in changes.links.items()]
    return files + links


def _difference(path: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": path, "after_header": path, "before": before, "after": after}


def _shown(
    path: str, before: Mapping[str, File], after: Mapping[str, File], damage: Mapping[str, str]
) -> tuple[str, str]:
    """A file before and after; where only a hand at its mode or owner is to be undone, that is what is shown."""
    texts = (_text(before.get(path)), _text(after.get(path)))
    if texts[0] == texts[1] and path in damage:
        return f"(it {damage[path]})\n", "(as it was written)\n"
    return texts


def _text(file: File | None) -> str:
    if file is None:
        return ""
    return "(secret values are not shown)\n" if file.secret else file.text


def _shown_link(to: str | None) -> str:
    return f"-> {to}\n" if to else ""
