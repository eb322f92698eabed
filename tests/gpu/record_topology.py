# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print this host's topology as ``gpu_topology_info`` returns it, to be kept under ``topologies/``."""

from __future__ import annotations

import json

from ansible_collections.llmops.inference.plugins.module_utils._gpu.nvml import read_topology

if __name__ == "__main__":
    print(json.dumps(read_topology().to_dict(), indent=1))
