/* Encoder of commands.
 *
 * hiredis has one too (redisFormatCommandArgv), but each command would cost an allocation that does not come from the
 * cache's allocator, and a value of 64 MiB a second copy of it; writing "$<n>\r\n<bytes>\r\n" straight into the
 * request's own buffer costs neither. Errors stick: append freely, look at status once. */
#include "tier/redis/command.h"

#include <stdio.h>
#include <string.h>

#include "tiercache.h"

#define HEADER_BYTES 24 /* a type byte, 20 digits, CR LF */

void tc_command_init(struct tc_command *c, const struct tc_alloc *alloc)
{
    c->data = c->few;
    c->len = 0;
    c->cap = sizeof c->few;
    c->n_commands = 0;
    c->status = CACHE_OK;
    c->alloc = alloc;
}

void tc_command_fini(struct tc_command *c)
{
    if (c->data != c->few)
        tc_free(c->alloc, c->data, c->cap);
    tc_command_init(c, c->alloc);
}

void tc_command_reserve(struct tc_command *c, size_t n)
{
    if (c->status != CACHE_OK || n <= c->cap - c->len)
        return;
    size_t cap = c->len + n;
    if (cap < c->len) {
        c->status = CACHE_E_NOMEM;
        return;
    }
    char *data = tc_alloc(c->alloc, cap);
    if (data == NULL) {
        c->status = CACHE_E_NOMEM;
        return;
    }
    memcpy(data, c->data, c->len);
    if (c->data != c->few)
        tc_free(c->alloc, c->data, c->cap);
    c->data = data;
    c->cap = cap;
}

/* Grows by doubling, unlike reserve, so that a batch of n commands costs O(n). */
static void grow(struct tc_command *c, size_t n)
{
    if (n > c->cap - c->len)
        tc_command_reserve(c, n > c->cap ? n : c->cap);
}

static void append(struct tc_command *c, const void *p, size_t n)
{
    if (c->status != CACHE_OK || n == 0)
        return;
    memcpy(c->data + c->len, p, n);
    c->len += n;
}

/* Digits and CR LF after a type byte; room was made. */
static void append_header(struct tc_command *c, char type, size_t n)
{
    char text[HEADER_BYTES];
    char *end = text + sizeof text, *p = end;
    *--p = '\n';
    *--p = '\r';
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    *--p = type;
    append(c, p, (size_t)(end - p));
}

void tc_command_begin(struct tc_command *c, size_t n_args)
{
    grow(c, HEADER_BYTES);
    append_header(c, '*', n_args);
    c->n_commands++;
}

void tc_command_arg(struct tc_command *c, const void *p, size_t n)
{
    if (n > SIZE_MAX - HEADER_BYTES - 2) {
        c->status = CACHE_E_NOMEM;
        return;
    }
    grow(c, n + HEADER_BYTES + 2);
    append_header(c, '$', n);
    append(c, p, n);
    append(c, "\r\n", 2);
}

void tc_command_arg_text(struct tc_command *c, const char *s)
{
    tc_command_arg(c, s, strlen(s));
}

void tc_command_arg_number(struct tc_command *c, int64_t v)
{
    char text[HEADER_BYTES];
    int n = snprintf(text, sizeof text, "%lld", (long long)v);
    tc_command_arg(c, text, (size_t)n);
}
