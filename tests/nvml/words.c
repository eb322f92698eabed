/* Copyright: (c) 2026, The llmops.inference maintainers
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Splits the lines of a description and reads the values in them. */
#include "words.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void words_mistake(struct parser *p, const char *format, ...)
{
    if (p->error[0] != '\0')
        return;
    int used = snprintf(p->error, p->error_size, "line %u: ", p->number);
    va_list arguments;
    va_start(arguments, format);
    if (used >= 0 && (size_t)used < p->error_size)
        vsnprintf(p->error + used, p->error_size - (size_t)used, format, arguments);
    va_end(arguments);
}

/* Takes the next word off *rest, quotes removed; NULL at the end of the line or before a comment. */
static char *next_word(struct parser *p, char **rest)
{
    char *from = *rest;
    while (isspace((unsigned char)*from))
        from++;
    if (*from == '\0' || *from == '#') {
        *rest = from;
        return NULL;
    }
    char *word = from, *to = from;
    bool quoted = false;
    for (; *from != '\0' && (quoted || !isspace((unsigned char)*from)); from++) {
        if (*from == '"')
            quoted = !quoted;
        else
            *to++ = *from;
    }
    if (quoted)
        words_mistake(p, "a quote is not closed");
    *rest = *from == '\0' ? from : from + 1;
    *to = '\0';
    return word;
}

const char *words_find(struct line *line, const char *key)
{
    for (size_t i = 0; i < line->count; i++) {
        if (strcmp(line->words[i].key, key) == 0) {
            line->words[i].read = true;
            return line->words[i].value;
        }
    }
    return NULL;
}

void words_split(struct parser *p)
{
    struct line *line = &p->line;
    char *rest = line->text;
    line->count = 0;
    line->keyword = next_word(p, &rest);
    for (char *word; (word = next_word(p, &rest)) != NULL;) {
        char *equals = strchr(word, '=');
        if (equals == NULL) {
            words_mistake(p, "\"%s\" is not of the form key=value", word);
        } else if (line->count == MAX_WORDS) {
            words_mistake(p, "more than %d words", MAX_WORDS);
        } else {
            *equals = '\0';
            if (words_find(line, word) != NULL)
                words_mistake(p, "%s= is given twice", word);
            line->words[line->count++] = (struct word){word, equals + 1, false};
        }
    }
}

const char *words_value_of(struct parser *p, const char *key, const char *otherwise)
{
    const char *value = words_find(&p->line, key);
    if (value == NULL && strcmp(p->line.keyword, "gpu") == 0)
        value = words_find(&p->defaults, key);
    if (value == NULL)
        value = otherwise;
    if (value == NULL)
        words_mistake(p, "%s= is missing", key);
    return value == NULL ? "" : value;
}

void words_refuse_unread(struct parser *p, const struct line *line)
{
    for (size_t i = 0; i < line->count; i++)
        if (!line->words[i].read)
            words_mistake(p, "%s does not know the key \"%s\"", line->keyword, line->words[i].key);
}

void words_text(struct parser *p, const char *key, const char *otherwise, char target[MAX_TEXT])
{
    const char *value = words_value_of(p, key, otherwise);
    if (strlen(value) >= MAX_TEXT)
        words_mistake(p, "%s= is longer than %d characters", key, MAX_TEXT - 1);
    else
        strcpy(target, value);
}

unsigned long long words_number_in(struct parser *p, const char *key, const char *value, char **end)
{
    if (!isdigit((unsigned char)*value)) {
        words_mistake(p, "%s=%s is not a number", key, value);
        *end = (char *)(uintptr_t)"";
        return 0;
    }
    return strtoull(value, end, 10);
}

unsigned long long words_number(struct parser *p, const char *key, const char *otherwise)
{
    const char *value = words_value_of(p, key, otherwise);
    char *end;
    unsigned long long result = words_number_in(p, key, value, &end);
    if (*end != '\0')
        words_mistake(p, "%s=%s is not a number", key, value);
    return result;
}

unsigned long long words_bytes(struct parser *p, const char *key, const char *otherwise)
{
    const char *value = words_value_of(p, key, otherwise);
    char *end;
    unsigned long long result = words_number_in(p, key, value, &end);
    if (strcmp(end, "KiB") == 0)
        return result << 10;
    if (strcmp(end, "MiB") == 0)
        return result << 20;
    if (strcmp(end, "GiB") == 0)
        return result << 30;
    if (*end != '\0')
        words_mistake(p, "%s=%s is not a size in bytes, KiB, MiB or GiB", key, value);
    return result;
}

int words_meaning_of(struct parser *p, const char *key, const char *value, const struct meaning *table)
{
    for (; table->word != NULL; table++)
        if (strcmp(table->word, value) == 0)
            return table->value;
    words_mistake(p, "%s= does not know \"%s\"", key, value);
    return 0;
}

int words_choice(struct parser *p, const char *key, const char *otherwise, const struct meaning *table)
{
    return words_meaning_of(p, key, words_value_of(p, key, otherwise), table);
}
