# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links by which systemd finds the units of the generation in force.

systemd's directory holds links only: to the templates, the target and the way back at boot, and per service to its
drop-ins and its timer, all through ``/etc/vllm/current``. Switching the generation so switches the units with it;
there is no second copy to fall behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from . import _durable
from ._errors import InferenceError
from ._places import (
    GROUP_FILE,
    RAY_HEAD_UNIT,
    RAY_WORKER_UNIT,
    RECOVER_FILE,
    TARGET_FILE,
    TEMPLATE_FILE,
    WATCHDOG_FILE,
    Paths,
    drop_in_directory,
    timer_name,
)

# Path of a link -> where it points and where it should; None: it is not there, or should not be.
Links = Mapping[str, "tuple[str | None, str | None]"]


def units_of(services: Iterable[str], files: Iterable[str]) -> list[str]:
    """The units and drop-ins of these services, and those of Ray where the ``files`` of the generation have one."""
    units = [name for service in services for name in (drop_in_directory(service), timer_name(service))]
    return [*units, *(name for name in (RAY_HEAD_UNIT, RAY_WORKER_UNIT) if f"systemd/{name}" in files)]


class UnitLinks:
    """The links in systemd's unit directory."""

    def __init__(self, paths: Paths) -> None:
        self._directory = Path(paths.unit_directory)
        self._current = Path(paths.current)

    def _wanted(self, units_of_services: Iterable[str]) -> dict[Path, str]:
        units = (TEMPLATE_FILE, WATCHDOG_FILE, GROUP_FILE, TARGET_FILE, RECOVER_FILE)
        links = {self._directory / Path(file).name: file for file in units}
        for file in (TARGET_FILE, RECOVER_FILE):  # what systemctl enable would make
            links[self._directory / "multi-user.target.wants" / Path(file).name] = file
        links.update((self._directory / name, f"systemd/{name}") for name in units_of_services)
        return {link: str(self._current / file) for link, file in links.items()}

    def differences(self, units: Iterable[str]) -> Links:
        """Every link that is not as these services' ``units`` want it; empty where exactly theirs exist."""
        wanted = self._wanted(units)
        links = sorted(self.present() | set(wanted))
        now = {link: _found(link) for link in links}
        return {str(link): (now[link], wanted.get(link)) for link in links if now[link] != wanted.get(link)}

    def present(self) -> set[Path]:
        """Every link of ours that exists now."""
        places = [self._directory, self._directory / "multi-user.target.wants"]
        entries = [path for place in places if place.is_dir() for path in place.iterdir()]
        return {path for path in entries if path.is_symlink() and self._is_ours(path)}

    def _is_ours(self, link: Path) -> bool:
        return os.readlink(link).startswith(f"{self._current}/")

    def add(self, units: Iterable[str]) -> None:
        """Create what is missing or points elsewhere; a link that does not resolve yet harms nothing.

        Raises InferenceError where a directory is in the way, or nothing can be written.
        """
        for link, to in self._wanted(units).items():
            if _found(link) == to:
                continue
            try:
                link.parent.mkdir(exist_ok=True)
                _durable.replace_link(link, to)
            except OSError as error:
                raise InferenceError(
                    f"cannot make {link} a link to {to} ({error.strerror}); move away what is in its place, or make "
                    "room, and run again"
                ) from error

    def remove_except(self, units: Iterable[str]) -> None:
        """Remove the links of services whose units are not among these."""
        for link in self.present() - set(self._wanted(units)):
            _durable.unlink(link)

    def remove_all(self) -> None:
        """Remove every link of ours."""
        for link in self.present():
            _durable.unlink(link)


def _found(link: Path) -> str | None:
    """Where a link points; what is no link is told by its kind."""
    if link.is_symlink():
        return os.readlink(link)
    return "(a file or directory, no link)" if link.exists() else None
