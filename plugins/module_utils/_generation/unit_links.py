# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links by which systemd, and podman's generator of units, find what the active generation has for them.

Their directories hold links only, all through ``/etc/vllm/current``: to every unit of the generation, to the drop-ins
of its services, and to its Quadlets. Switching the generation so switches the units with it; there is no second copy
to fall behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from .. import _files
from .._errors import InferenceError
from .._places import QUADLETS, RECOVER_FILE, TARGET_FILE, UNITS_DIRECTORY, Paths

# Path of a link -> where it points and where it should; None: it is not there, or should not be.
Links = Mapping[str, "tuple[str | None, str | None]"]


class UnitLinks:
    """The links in systemd's unit directory, and in the one for Quadlets. ``files`` are paths below a generation."""

    def __init__(self, paths: Paths) -> None:
        self._directories = {UNITS_DIRECTORY: Path(paths.unit_directory), QUADLETS: Path(paths.quadlet_directory)}
        self._wants = Path(paths.unit_directory) / "multi-user.target.wants"
        self._current = Path(paths.current)

    def _wanted(self, files: Iterable[str]) -> dict[Path, str]:
        links = {}
        for file in files:
            kind, _slash, path = file.partition("/")
            if kind in self._directories:
                name = path.partition("/")[0]  # the unit, or the directory of its drop-ins
                links[self._directories[kind] / name] = f"{kind}/{name}"
            if file in (TARGET_FILE, RECOVER_FILE):  # what systemctl enable would make
                links[self._wants / path] = file
        return {link: str(self._current / to) for link, to in links.items()}

    def differences(self, files: Iterable[str]) -> Links:
        """Every link that is not as these files want it; empty where exactly theirs exist."""
        wanted = self._wanted(files)
        links = sorted(self.present() | set(wanted))
        now = {link: _found(link) for link in links}
        return {str(link): (now[link], wanted.get(link)) for link in links if now[link] != wanted.get(link)}

    def present(self) -> set[Path]:
        """Every link of ours that exists now."""
        places = [*self._directories.values(), self._wants]
        entries = [path for place in places if place.is_dir() for path in place.iterdir()]
        return {path for path in entries if path.is_symlink() and self._is_ours(path)}

    def _is_ours(self, link: Path) -> bool:
        return os.readlink(link).startswith(f"{self._current}/")

    def add(self, files: Iterable[str]) -> None:
        """Create what is missing or points elsewhere; a link that does not resolve yet harms nothing.

        Raises InferenceError where a directory is in the way, or nothing can be written.
        """
        for link, to in self._wanted(files).items():
            if _found(link) == to:
                continue
            try:
                link.parent.mkdir(exist_ok=True)
                _files.replace_link(link, to)
            except OSError as error:
                raise InferenceError(
                    f"cannot make {link} a link to {to} ({error.strerror}); move away what is in its place, or make "
                    "room, and run again"
                ) from error

    def remove_except(self, files: Iterable[str]) -> None:
        """Remove the links that these files do not want."""
        for link in self.present() - set(self._wanted(files)):
            _files.unlink(link)

    def remove_all(self) -> None:
        """Remove every link of ours."""
        for link in self.present():
            _files.unlink(link)


def _found(link: Path) -> str | None:
    """Where a link points; what is no link is told by its kind."""
    if link.is_symlink():
        return os.readlink(link)
    return "(a file or directory, no link)" if link.exists() else None
