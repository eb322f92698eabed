/* Copyright: (c) 2026, The llmops.inference maintainers
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The machine that the stand-in stands in for, as read from its description (README.md explains the format). */
#ifndef LLMOPS_BOX_H
#define LLMOPS_BOX_H

#include <stdbool.h>
#include <stdio.h>

enum {
    MAX_GPUS = 16,
    MAX_PROCESSES = 64,
    MAX_FAILURES = 64,
    MAX_NVLINKS = 18,
    MAX_TEXT = 96,
    CPU_WORDS = 16, /* of 64 CPUs */
};

struct pci_address {
    unsigned domain, bus, device;
};

struct nvlink {
    bool active;
    bool to_switch;
    struct pci_address remote;
};

enum lost { LOST_NOT, LOST_AT_HANDLE, LOST_AT_QUESTIONS };

struct gpu {
    unsigned index;
    struct pci_address pci;
    char uuid[MAX_TEXT], name[MAX_TEXT];
    unsigned long long total, reserved, used; /* bytes; used: beyond what the processes hold */
    unsigned long long watts;            /* 0: the model does not tell its power */
    unsigned long long celsius;          /* 0: nor its temperature */
    unsigned long long busy;             /* percent of the time */
    unsigned compute_major, compute_minor;
    int numa, own_numa; /* own_numa: the GPU's own memory as a NUMA node (Grace); -1: none */
    unsigned long cpus[CPU_WORDS];
    unsigned pcie_generation, pcie_width, pcie_generation_max, pcie_width_max;
    int mig;                             /* 1, 0, or -1: the model cannot do MIG */
    int row_remap_pending, row_remap_failed; /* -1: the model has no row remapping */
    int retired_pages_pending;           /* -1: the model retires no pages */
    unsigned long long ecc_uncorrected;
    unsigned long long throttle; /* bits of the clocks event reasons */
    enum lost lost;
    struct nvlink nvlinks[MAX_NVLINKS];
    unsigned nvlink_count;
};

enum process_kind { PROCESS_COMPUTE, PROCESS_GRAPHICS, PROCESS_MPS };

struct process {
    unsigned gpu, pid;
    unsigned long long used; /* bytes, or NVML_VALUE_NOT_AVAILABLE */
    enum process_kind kind;
};

struct failure {
    unsigned gpu;
    char function[MAX_TEXT]; /* a pattern as in fnmatch(3) */
    int error;
};

struct pair {
    unsigned level;                /* nvmlGpuTopologyLevel_t */
    unsigned p2p_read, p2p_nvlink; /* nvmlGpuP2PStatus_t */
};

struct box {
    char driver[MAX_TEXT];
    int init_error;
    struct gpu gpus[MAX_GPUS];
    unsigned gpu_count;
    struct process processes[MAX_PROCESSES];
    unsigned process_count;
    struct failure failures[MAX_FAILURES];
    unsigned failure_count;
    struct pair pairs[MAX_GPUS][MAX_GPUS]; /* symmetric */
};

/* Reads a description into box. On a mistake returns false and puts "line N: what is wrong" into error. */
bool box_read(FILE *file, struct box *box, char *error, size_t error_size);

/* What the processes on this GPU hold, in bytes; never more than it has beside what is reserved. */
unsigned long long box_used(const struct box *box, const struct gpu *gpu);

#endif
