/* Copyright: (c) 2026, The llmops.inference maintainers
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Lines of a keyword and key=value words. After a mistake every function goes on with a harmless value. */
#ifndef LLMOPS_WORDS_H
#define LLMOPS_WORDS_H

#include "box.h"

enum { MAX_LINE = 1024, MAX_WORDS = 32 };

struct word {
    char *key, *value;
    bool read;
};

struct line {
    char text[MAX_LINE];
    char *keyword;
    struct word words[MAX_WORDS];
    size_t count;
};

struct parser {
    struct box *box;
    struct line line;     /* the one being read */
    struct line defaults; /* of GPUs, from the last "defaults" line */
    unsigned number;
    char *error;
    size_t error_size;
};

/* A word and what it means: the last entry of a table has no word. */
struct meaning {
    const char *word;
    int value;
};

/* Keeps the first mistake, with the number of its line; later ones follow from it. */
__attribute__((format(printf, 2, 3)))
void words_mistake(struct parser *p, const char *format, ...);

/* Splits the line that was read into a keyword (NULL: none) and key=value words; takes quotes and comments off. */
void words_split(struct parser *p);

/* The value of a key on a line, or NULL. */
const char *words_find(struct line *line, const char *key);

/* The value of a key on this line; for a GPU also from the defaults; else otherwise, where NULL means "must be there". */
const char *words_value_of(struct parser *p, const char *key, const char *otherwise);

/* Makes a mistake of every key that nobody asked for. */
void words_refuse_unread(struct parser *p, const struct line *line);

/* A text that fits. */
void words_text(struct parser *p, const char *key, const char *otherwise, char target[MAX_TEXT]);

/* The number that a value begins with; *end is what follows it. */
unsigned long long words_number_in(struct parser *p, const char *key, const char *value, char **end);

/* A whole number. */
unsigned long long words_number(struct parser *p, const char *key, const char *otherwise);

/* Bytes, or KiB, MiB, GiB with that suffix. */
unsigned long long words_bytes(struct parser *p, const char *key, const char *otherwise);

/* What a word means in a table; 0 after a mistake. */
int words_meaning_of(struct parser *p, const char *key, const char *value, const struct meaning *table);

/* What the value of a key means in a table. */
int words_choice(struct parser *p, const char *key, const char *otherwise, const struct meaning *table);

#endif
