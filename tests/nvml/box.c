/* Copyright: (c) 2026, The llmops.inference maintainers
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reads the description of a box, keyword by keyword; README.md tells what each means. */
#include "box.h"

#include <stdlib.h>
#include <string.h>

#include "nvml.h"
#include "words.h"

static const struct meaning ERRORS[] = {
    {"not_supported", NVML_ERROR_NOT_SUPPORTED},
    {"no_permission", NVML_ERROR_NO_PERMISSION},
    {"driver_not_loaded", NVML_ERROR_DRIVER_NOT_LOADED},
    {"timeout", NVML_ERROR_TIMEOUT},
    {"corrupted_inforom", NVML_ERROR_CORRUPTED_INFOROM},
    {"gpu_is_lost", NVML_ERROR_GPU_IS_LOST},
    {"reset_required", NVML_ERROR_RESET_REQUIRED},
    {"version_mismatch", NVML_ERROR_LIB_RM_VERSION_MISMATCH},
    {"unknown", NVML_ERROR_UNKNOWN},
    {NULL, 0},
};
static const struct meaning LEVELS[] = {
    {"INTERNAL", 0}, {"PIX", 10}, {"PXB", 20}, {"PHB", 30}, {"NODE", 40}, {"SYS", 50}, {NULL, 0},
};
static const struct meaning P2P[] = {
    {"ok", 0},
    {"chipset_not_supported", 1},
    {"gpu_not_supported", 2},
    {"topology_not_supported", 3},
    {"disabled_by_regkey", 4},
    {"not_supported", 5},
    {"unknown", 6},
    {NULL, 0},
};
static const struct meaning SWITCHABLE[] = {{"off", 0}, {"on", 1}, {"unsupported", -1}, {NULL, 0}};
static const struct meaning YES_NO[] = {{"no", 0}, {"yes", 1}, {"unsupported", -1}, {NULL, 0}};
static const struct meaning LOST[] = {
    {"no", LOST_NOT}, {"handle", LOST_AT_HANDLE}, {"questions", LOST_AT_QUESTIONS}, {NULL, 0},
};
static const struct meaning KINDS[] = {
    {"compute", PROCESS_COMPUTE}, {"graphics", PROCESS_GRAPHICS}, {"mps", PROCESS_MPS}, {NULL, 0},
};
static const struct meaning THROTTLES[] = {
    {"none", 0},
    {"idle", 0x01},
    {"power_cap", 0x04},
    {"hw_slowdown", 0x08},
    {"sw_thermal", 0x20},
    {"hw_thermal", 0x40},
    {"power_brake", 0x80},
    {NULL, 0},
};

/* "0000:41:00" with or without a function: domain, bus, device in hexadecimal. */
static struct pci_address address(struct parser *p, const char *key)
{
    struct pci_address pci = {0, 0, 0};
    const char *value = words_value_of(p, key, NULL);
    if (sscanf(value, "%x:%x:%x", &pci.domain, &pci.bus, &pci.device) != 3)
        words_mistake(p, "%s=%s is not a PCI address such as 0000:41:00.0", key, value);
    return pci;
}

/* "4x16": generation and width. */
static void pcie(struct parser *p, const char *key, const char *otherwise, unsigned *generation, unsigned *width)
{
    const char *value = words_value_of(p, key, otherwise);
    if (sscanf(value, "%ux%u", generation, width) != 2)
        words_mistake(p, "%s=%s is not generation and width such as 4x16", key, value);
}

/* "0-15,32": sets these bits. */
static void cpus(struct parser *p, const char *key, unsigned long set[CPU_WORDS])
{
    const char *value = words_value_of(p, key, "");
    memset(set, 0, sizeof(unsigned long) * CPU_WORDS);
    while (*value != '\0') {
        char *end;
        unsigned long long first = words_number_in(p, key, value, &end), last = first;
        if (*end == '-')
            last = words_number_in(p, key, end + 1, &end);
        if (last >= CPU_WORDS * 64 || (*end != ',' && *end != '\0')) {
            words_mistake(p, "%s=%s is not a list of CPUs such as 0-15,32 below %d", key, value, CPU_WORDS * 64);
            return;
        }
        for (unsigned long long cpu = first; cpu <= last; cpu++)
            set[cpu / 64] |= 1UL << (cpu % 64);
        value = *end == ',' ? end + 1 : end;
    }
}

/* "hw_slowdown,hw_thermal": the bits of these reasons. */
static unsigned long long throttle(struct parser *p)
{
    char list[MAX_TEXT] = "", *rest = NULL;
    unsigned long long bits = 0;
    words_text(p, "throttle", "none", list);
    for (char *word = strtok_r(list, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest))
        bits |= (unsigned long long)words_meaning_of(p, "throttle", word, THROTTLES);
    return bits;
}

/* The GPU that a key names by its number; the first one after a mistake, so that callers can go on. */
static struct gpu *gpu_of(struct parser *p, const char *key)
{
    unsigned long long index = words_number(p, key, NULL);
    if (index >= p->box->gpu_count) {
        words_mistake(p, "%s=%llu: no such GPU is described above", key, index);
        index = 0;
    }
    return &p->box->gpus[index];
}

static void read_driver(struct parser *p)
{
    words_text(p, "version", NULL, p->box->driver);
}

static void read_init(struct parser *p)
{
    p->box->init_error = words_choice(p, "error", NULL, ERRORS);
}

static void read_defaults(struct parser *p)
{
    p->defaults = p->line;
    /* The copied words still point into p->line, which the next line overwrites. */
    for (size_t i = 0; i < p->defaults.count; i++) {
        p->defaults.words[i].key = p->defaults.text + (p->line.words[i].key - p->line.text);
        p->defaults.words[i].value = p->defaults.text + (p->line.words[i].value - p->line.text);
        p->line.words[i].read = true;
    }
    p->defaults.keyword = p->defaults.text + (p->line.keyword - p->line.text);
}

static bool before(struct pci_address a, struct pci_address b)
{
    if (a.domain != b.domain)
        return a.domain < b.domain;
    return a.bus != b.bus ? a.bus < b.bus : a.device < b.device;
}

static void read_gpu(struct parser *p)
{
    struct box *box = p->box;
    if (box->gpu_count == MAX_GPUS) {
        words_mistake(p, "more than %d GPUs", MAX_GPUS);
        return;
    }
    struct gpu *gpu = &box->gpus[box->gpu_count];
    gpu->index = box->gpu_count;
    gpu->pci = address(p, "bus");
    if (gpu->index > 0 && !before(gpu[-1].pci, gpu->pci))
        words_mistake(p, "GPUs are described in the order of their PCI addresses, as NVML numbers them");
    words_text(p, "uuid", NULL, gpu->uuid);
    words_text(p, "name", NULL, gpu->name);
    gpu->total = words_bytes(p, "memory", NULL);
    gpu->reserved = words_bytes(p, "reserved", "0");
    gpu->used = words_bytes(p, "used", "0");
    if (gpu->reserved > gpu->total)
        words_mistake(p, "reserved= is more than memory=");
    gpu->watts = words_number(p, "power", "0");
    gpu->celsius = words_number(p, "temperature", "0");
    gpu->busy = words_number(p, "busy", "0");
    const char *compute = words_value_of(p, "compute", NULL);
    if (sscanf(compute, "%u.%u", &gpu->compute_major, &gpu->compute_minor) != 2)
        words_mistake(p, "compute=%s is not a compute capability such as 9.0", compute);
    gpu->numa = strcmp(words_value_of(p, "numa", "unsupported"), "unsupported") == 0 ? -1 : (int)words_number(p, "numa", "0");
    gpu->own_numa = strcmp(words_value_of(p, "own_numa", "none"), "none") == 0 ? -1 : (int)words_number(p, "own_numa", "0");
    if (gpu->numa >= 64)
        words_mistake(p, "numa= is 64 or more");
    cpus(p, "cpus", gpu->cpus);
    pcie(p, "pcie", "4x16", &gpu->pcie_generation, &gpu->pcie_width);
    pcie(p, "pcie_max", words_value_of(p, "pcie", "4x16"), &gpu->pcie_generation_max, &gpu->pcie_width_max);
    gpu->mig = words_choice(p, "mig", "unsupported", SWITCHABLE);
    gpu->ecc_uncorrected = words_number(p, "ecc_uncorrected", "0");
    gpu->row_remap_pending = words_choice(p, "row_remap_pending", "no", YES_NO);
    gpu->row_remap_failed = words_choice(p, "row_remap_failed", "no", YES_NO);
    gpu->retired_pages_pending = words_choice(p, "retired_pages_pending", "unsupported", YES_NO);
    gpu->throttle = throttle(p);
    gpu->lost = (enum lost)words_choice(p, "lost", "no", LOST);
    box->gpu_count++;
    for (unsigned i = 0; i < gpu->index; i++) {
        bool one_node = gpu->numa == box->gpus[i].numa;
        struct pair pair = {one_node ? 40 : 50, 0, 5}; /* NODE or SYS, reads, no NVLink */
        box->pairs[i][gpu->index] = box->pairs[gpu->index][i] = pair;
    }
}

static void read_process(struct parser *p)
{
    struct box *box = p->box;
    if (box->process_count == MAX_PROCESSES) {
        words_mistake(p, "more than %d processes", MAX_PROCESSES);
        return;
    }
    struct process *process = &box->processes[box->process_count++];
    process->gpu = gpu_of(p, "gpu")->index;
    process->pid = (unsigned)words_number(p, "pid", NULL);
    bool untold = strcmp(words_value_of(p, "used", NULL), "untold") == 0;
    process->used = untold ? NVML_VALUE_NOT_AVAILABLE : words_bytes(p, "used", NULL);
    process->kind = (enum process_kind)words_choice(p, "kind", "compute", KINDS);
}

static void read_fail(struct parser *p)
{
    struct box *box = p->box;
    if (box->failure_count == MAX_FAILURES) {
        words_mistake(p, "more than %d failures", MAX_FAILURES);
        return;
    }
    struct failure *failure = &box->failures[box->failure_count++];
    failure->gpu = gpu_of(p, "gpu")->index;
    words_text(p, "function", NULL, failure->function);
    failure->error = words_choice(p, "error", NULL, ERRORS);
}

static void read_pair(struct parser *p)
{
    unsigned a = gpu_of(p, "a")->index, b = gpu_of(p, "b")->index;
    struct pair *pair = &p->box->pairs[a][b];
    if (a == b)
        words_mistake(p, "a pair is of two GPUs");
    if (words_find(&p->line, "level") != NULL)
        pair->level = (unsigned)words_choice(p, "level", NULL, LEVELS);
    if (words_find(&p->line, "p2p_read") != NULL)
        pair->p2p_read = (unsigned)words_choice(p, "p2p_read", NULL, P2P);
    if (words_find(&p->line, "p2p_nvlink") != NULL)
        pair->p2p_nvlink = (unsigned)words_choice(p, "p2p_nvlink", NULL, P2P);
    p->box->pairs[b][a] = *pair;
}

static void add_nvlinks(struct parser *p, struct gpu *gpu, struct nvlink nvlink, unsigned long long count)
{
    for (; count > 0; count--) {
        if (gpu->nvlink_count == MAX_NVLINKS) {
            words_mistake(p, "GPU %u has more than %d NVLinks", gpu->index, MAX_NVLINKS);
            return;
        }
        gpu->nvlinks[gpu->nvlink_count++] = nvlink;
    }
}

/* Between the GPUs a and b, or from gpu into the switches of the box. */
static void read_nvlink(struct parser *p)
{
    unsigned long long count = words_number(p, "count", "1");
    bool active = words_choice(p, "active", "yes", YES_NO) == 1;
    if (words_find(&p->line, "gpu") != NULL) {
        struct nvlink nvlink = {active, true, address(p, "switch")};
        add_nvlinks(p, gpu_of(p, "gpu"), nvlink, count);
        return;
    }
    struct gpu *a = gpu_of(p, "a"), *b = gpu_of(p, "b");
    add_nvlinks(p, a, (struct nvlink){active, false, b->pci}, count);
    add_nvlinks(p, b, (struct nvlink){active, false, a->pci}, count);
    if (active)
        p->box->pairs[a->index][b->index].p2p_nvlink = p->box->pairs[b->index][a->index].p2p_nvlink = 0;
}

static const struct {
    const char *word;
    void (*read)(struct parser *);
} KEYWORDS[] = {
    {"driver", read_driver}, {"init", read_init}, {"defaults", read_defaults}, {"gpu", read_gpu},
    {"process", read_process}, {"fail", read_fail}, {"pair", read_pair}, {"nvlink", read_nvlink},
};

static void read_line(struct parser *p)
{
    words_split(p);
    if (p->line.keyword == NULL)
        return;
    for (size_t i = 0; i < sizeof KEYWORDS / sizeof KEYWORDS[0]; i++) {
        if (strcmp(KEYWORDS[i].word, p->line.keyword) == 0) {
            KEYWORDS[i].read(p);
            words_refuse_unread(p, &p->line);
            return;
        }
    }
    words_mistake(p, "the keyword \"%s\" is unknown", p->line.keyword);
}

/* GPUs that both have active links into switches reach each other by NVLink, unless a pair line says otherwise. */
static void join_switched(struct box *box)
{
    bool switched[MAX_GPUS] = {false};
    for (unsigned i = 0; i < box->gpu_count; i++)
        for (unsigned link = 0; link < box->gpus[i].nvlink_count; link++)
            if (box->gpus[i].nvlinks[link].to_switch && box->gpus[i].nvlinks[link].active)
                switched[i] = true;
    for (unsigned a = 0; a < box->gpu_count; a++)
        for (unsigned b = 0; b < box->gpu_count; b++)
            if (a != b && switched[a] && switched[b] && box->pairs[a][b].p2p_nvlink == 5)
                box->pairs[a][b].p2p_nvlink = 0;
}

bool box_read(FILE *file, struct box *box, char *error, size_t error_size)
{
    struct parser *p = calloc(1, sizeof *p);
    if (p == NULL)
        return false;
    memset(box, 0, sizeof *box);
    error[0] = '\0';
    *p = (struct parser){.box = box, .error = error, .error_size = error_size};
    while (error[0] == '\0' && fgets(p->line.text, sizeof p->line.text, file) != NULL) {
        p->number++;
        if (strlen(p->line.text) == sizeof p->line.text - 1)
            words_mistake(p, "longer than %d characters", MAX_LINE - 2);
        read_line(p);
    }
    if (error[0] == '\0' && box->gpu_count > 0)
        words_refuse_unread(p, &p->defaults);
    join_switched(box);
    free(p);
    return error[0] == '\0';
}

unsigned long long box_used(const struct box *box, const struct gpu *gpu)
{
    unsigned long long used = gpu->used, room = gpu->total - gpu->reserved;
    for (unsigned i = 0; i < box->process_count; i++)
        if (box->processes[i].gpu == gpu->index && box->processes[i].used != NVML_VALUE_NOT_AVAILABLE)
            used += box->processes[i].used;
    return used < room ? used : room;
}
