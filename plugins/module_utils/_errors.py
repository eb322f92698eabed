# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that a user is meant to read."""

from __future__ import annotations


class InferenceError(Exception):
    """A refusal: its text names the value, the limit and the way out.

    ``details`` carries the same facts as data (JSON types only), so that a module can return them.
    """

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details = details


class NotInstalledError(InferenceError):
    """Something that the role vllm_runtime installs is not there; in check mode that is no failure."""
