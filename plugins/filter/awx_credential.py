# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A credential as AWX is to have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DOCUMENTATION = r"""
name: awx_credential
short_description: Tell whether the secret of a credential in AWX differs
version_added: 1.1.0
author: The llmops.inference maintainers
description:
  - AWX shows no secret. The description of the credential has a short digest of the secret that was handed over last.
  - For the playbook C(llmops.inference.awx).
options:
  _input:
    description: The description of the credential.
    type: str
    required: true
  current:
    description: The credential that AWX has; empty for none.
    type: dict
    default: {}
  secret:
    description: The secret. Empty, the credential stays as it is.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show whether a secret was rotated
  ansible.builtin.debug:
    msg: "{{ ('Our key.' | llmops.inference.awx_credential(current=credential_in_awx, secret=key)).differs }}"
"""

RETURN = r"""
_value:
  description: The C(description), with the digest, and C(differs), whether the secret is another one.
  type: dict
"""


def awx_credential(description: str, current: Mapping[str, Any] | None = None, secret: str = "") -> dict[str, Any]:
    """Return the description, and whether the secret differs."""
    from ansible_collections.llmops.inference.plugins.plugin_utils._awx import objects

    return objects.credential(description, current or {}, secret)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Its name."""
        return {"awx_credential": awx_credential}
