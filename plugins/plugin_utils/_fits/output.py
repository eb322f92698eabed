# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for a user, written on the controller. A module that copies them would take longer than the answer."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError


def write(file: str, text: str, *, check: bool = False) -> bool:
    """Make ``text`` the content of a file, and return whether it was another; with ``check`` only that.

    A reader sees the old content or the new one. Raises InferenceError where the file cannot be written.
    """
    path = Path(file).expanduser().absolute()
    try:
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text:
            return False
        if check:
            return True
        descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                os.fchmod(stream.fileno(), 0o644)
                stream.write(text)
            os.replace(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
    except OSError as error:
        raise InferenceError(f"{path} cannot be written: {error.strerror}. State another file.") from error
    return True
