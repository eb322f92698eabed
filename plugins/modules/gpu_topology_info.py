#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_topology_info
version_added: 1.0.0
short_description: Reads a host's GPUs, the links between them, and its NUMA nodes
description:
  - Asks the NVIDIA driver, through NVML, for every GPU of the host, with its memory, health, PCIe link and
    processes, and for the path between every two of them; asks the kernel for the NUMA nodes.
  - A host without the Python package, without the driver or without a GPU is no error. The module then
    returns no GPUs and says why in RV(topology.problem).
  - What a GPU does not tell is V(null). A lost GPU is reported as such, and the others are read all the
    same.
author:
  - The llmops.inference maintainers (@llmops)
extends_documentation_fragment:
  - llmops.inference.attributes
  - llmops.inference.attributes.actiongroup
  - llmops.inference.attributes.info_module
requirements:
  - Python >= 3.9
  - The Python package C(nvidia-ml-py) on hosts with NVIDIA GPUs, for the Python that runs the module or in
    O(tools_dir).
options:
  tools_dir:
    description:
      - A virtual environment that holds C(nvidia-ml-py), looked at where the Python that runs the module has none.
      - The role P(llmops.inference.vllm_runtime#role) makes it.
    type: path
    default: /opt/vllm/tools
notes:
  - Run it with root's rights. Without them NVML hides some values, such as the memory of another user's
    process.
  - RV(topology) is a valid value of the option O(llmops.inference.vllm_plan#module:topology), so a recorded
    one plans for a machine that is not at hand.
seealso:
  - module: llmops.inference.vllm_plan
  - name: NVML API reference
    description: What the driver means by each value.
    link: https://docs.nvidia.com/deploy/nvml-api/
"""

EXAMPLES = r"""
---
- name: Read the GPUs
  llmops.inference.gpu_topology_info:
  register: box

- name: Stop where a GPU should not be used
  ansible.builtin.assert:
    that: box.topology.gpus | rejectattr('health.status', 'equalto', 'ok') | length == 0
    fail_msg: "{{ box.topology.gpus | map(attribute='health') }}"

- name: Record the box, to plan for it elsewhere
  ansible.builtin.copy:
    content: "{{ box.topology | to_nice_json }}"
    dest: "topologies/{{ inventory_hostname }}.json"
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
topology:
  description: Everything about the host that a plan depends on.
  returned: success
  type: dict
  contains:
    driver_loaded:
      description: Whether NVML reached the NVIDIA driver.
      returned: success
      type: bool
      sample: true
    driver_version:
      description: The version of the driver.
      returned: success
      type: str
      sample: 580.95.05
    problem:
      description: Why there is no GPU, in a sentence that names the way out; V(null) where there is one.
      returned: success
      type: str
      sample: The NVIDIA driver is loaded and finds no GPU.
    gpus:
      description: The GPUs, in the order of their PCI addresses.
      returned: success
      type: list
      elements: dict
      contains:
        index:
          description: NVML's number of the GPU, which is CUDA's under E(CUDA_DEVICE_ORDER=PCI_BUS_ID).
          returned: success
          type: int
          sample: 0
        uuid:
          description: The GPU's own name, the same in every slot and after every boot.
          returned: success
          type: str
          sample: GPU-a1f3c0de-0000-4000-8000-000000000000
        name:
          description: The model.
          returned: success
          type: str
          sample: NVIDIA H100 PCIe
        pci_bus_id:
          description: The PCI address, as the kernel writes it.
          returned: success
          type: str
          sample: "0000:17:00.0"
        minor_number:
          description: The number in the name of its device node, C(/dev/nvidia0) for V(0).
          returned: success
          type: int
          sample: 0
        memory_total_bytes:
          description: All memory of the GPU, the sum of reserved, used and free.
          returned: success
          type: int
          sample: 85520809984
        memory_used_bytes:
          description: What processes hold.
          returned: success
          type: int
          sample: 0
        memory_free_bytes:
          description: What a process can still have.
          returned: success
          type: int
          sample: 84943044608
        memory_reserved_bytes:
          description:
            - What driver and firmware keep for themselves.
            - V(null) where the driver does not tell it apart. Then it is part of
              RV(topology.gpus[].memory_used_bytes).
          returned: success
          type: int
          sample: 577765376
        compute_capability:
          description: The CUDA compute capability.
          returned: success
          type: str
          sample: "9.0"
        numa_node:
          description: The NUMA node whose CPUs and memory are nearest.
          returned: success
          type: int
          sample: 0
        cpu_affinity:
          description: The CPUs that are nearest.
          returned: success
          type: list
          elements: int
          sample: [0, 1, 2, 3]
        pcie:
          description: The PCIe link.
          returned: success
          type: dict
          contains:
            generation:
              description: The generation it runs at now; an idle link trains down.
              returned: success
              type: int
              sample: 4
            generation_max:
              description: The highest generation that the GPU and its slot allow.
              returned: success
              type: int
              sample: 4
            width:
              description: The number of lanes in use.
              returned: success
              type: int
              sample: 16
            width_max:
              description: The highest number of lanes that the GPU and its slot allow.
              returned: success
              type: int
              sample: 16
        mig_enabled:
          description: Whether the GPU is divided into MIG instances; V(null) where it cannot be.
          returned: success
          type: bool
          sample: false
        health:
          description: Whether the GPU can be given work.
          returned: success
          type: dict
          contains:
            status:
              description:
                - V(failed) for a GPU that is lost, has met uncorrectable memory errors, or could not remap
                  a row of memory.
                - V(degraded) for one that waits for a reset to repair its memory, is throttled by heat or
                  hardware, or answers with errors.
                - V(ok) otherwise. Xid errors are not considered, as NVML does not keep them.
              returned: success
              type: str
              sample: ok
            reasons:
              description: Why it is not V(ok), one text per reason.
              returned: success
              type: list
              elements: str
              sample: []
        processes:
          description: The processes that hold the GPU.
          returned: success
          type: list
          elements: dict
          contains:
            pid:
              description: The process, as numbered by the host.
              returned: success
              type: int
              sample: 4242
            used_bytes:
              description: The memory that it holds; V(null) where the driver does not know, as with MIG.
              returned: success
              type: int
              sample: 64424509440
            name:
              description: The kernel's name for it; V(null) where it is not visible from here.
              returned: success
              type: str
              sample: VLLM::EngineCor
    links:
      description: The paths between every two GPUs.
      returned: success
      type: list
      elements: dict
      contains:
        a:
          description: Index of the first GPU.
          returned: success
          type: int
          sample: 0
        b:
          description: Index of the second GPU, the higher one.
          returned: success
          type: int
          sample: 1
        level:
          description:
            - The nearest level on which they meet. From near to far V(NVLINK), V(PIX) for one PCIe switch,
              V(PXB) for several, V(PHB) for one PCIe host bridge, V(NODE) for several of one NUMA node,
              V(SYS) for two NUMA nodes.
            - V(null) where it is not known, as with a lost GPU.
          returned: success
          type: str
          sample: PIX
        nvlink_count:
          description: The active NVLinks that join them, directly or through NVSwitches.
          returned: success
          type: int
          sample: 0
        p2p_read:
          description:
            - Whether one can read the other's memory. Either V(ok) or the driver's reason why not,
              V(chipset_not_supported), V(gpu_not_supported), V(topology_not_supported),
              V(disabled_by_regkey), V(not_supported), V(unknown).
          returned: success
          type: str
          sample: ok
    numa_nodes:
      description: The NUMA nodes that have memory.
      returned: success
      type: list
      elements: dict
      contains:
        index:
          description: The kernel's number of the node.
          returned: success
          type: int
          sample: 0
        memory_total_bytes:
          description: All its memory, or the memory limit of the container around the host, if lower.
          returned: success
          type: int
          sample: 540958932992
        memory_free_bytes:
          description: What a new process can have, including the caches that the kernel can drop.
          returned: success
          type: int
          sample: 512431980544
        cpus:
          description: Its CPUs.
          returned: success
          type: list
          elements: int
          sample: [0, 1, 2, 3]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.inference.plugins.module_utils._gpu.nvml import import_from, read_topology


def main() -> None:
    module = AnsibleModule(
        argument_spec={"tools_dir": {"type": "path", "default": "/opt/vllm/tools"}}, supports_check_mode=True
    )
    import_from(module.params["tools_dir"])
    module.exit_json(changed=False, topology=read_topology().to_dict())


if __name__ == "__main__":
    main()
