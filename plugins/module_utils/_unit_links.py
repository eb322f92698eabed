# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links by which systemd finds the units of the generation in force.

systemd's directory holds links only: to the templates and the target, and per service to its drop-ins and its
timer, all through ``/etc/vllm/current``. Switching the generation so switches the units with it; there is no second
copy to fall behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ._render import TARGET_FILE, TEMPLATE_FILE, WATCHDOG_FILE, drop_in_directory
from ._units import Paths, timer_name

_UNITS = (TEMPLATE_FILE, WATCHDOG_FILE, TARGET_FILE)


class UnitLinks:
    """The links in systemd's unit directory."""

    def __init__(self, paths: Paths) -> None:
        self._directory = Path(paths.unit_directory)
        self._current = Path(paths.current)

    def _wanted(self, services: Iterable[str]) -> dict[Path, str]:
        links = {
            **{self._directory / Path(file).name: str(self._current / file) for file in _UNITS},
            self._directory / "multi-user.target.wants" / Path(TARGET_FILE).name: str(self._current / TARGET_FILE),
        }
        for service in services:
            for name in (drop_in_directory(service), timer_name(service)):
                links[self._directory / name] = str(self._current / "systemd" / name)
        return links

    def complete(self, services: Sequence[str]) -> bool:
        """Whether exactly the links of these services exist."""
        wanted = self._wanted(services)
        return self.present() == set(wanted) and all(os.readlink(link) == to for link, to in wanted.items())

    def present(self) -> set[Path]:
        """Every link of ours that exists now."""
        places = [self._directory, self._directory / "multi-user.target.wants"]
        entries = [path for place in places if place.is_dir() for path in place.iterdir()]
        return {path for path in entries if path.is_symlink() and self._is_ours(path)}

    def _is_ours(self, link: Path) -> bool:
        return os.readlink(link).startswith(f"{self._current}/")

    def add(self, services: Iterable[str]) -> None:
        """Create what is missing; a link that does not resolve yet harms nothing."""
        for link, to in self._wanted(services).items():
            link.parent.mkdir(exist_ok=True)
            aside = link.with_name(f".{link.name}.next")
            aside.unlink(missing_ok=True)
            aside.symlink_to(to)
            os.replace(aside, link)

    def remove_except(self, services: Iterable[str]) -> None:
        """Remove the links of services that are not among these."""
        for link in self.present() - set(self._wanted(services)):
            link.unlink()

    def remove_all(self) -> None:
        """Remove every link of ours."""
        for link in self.present():
            link.unlink()
