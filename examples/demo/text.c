/* text.c - see text.h. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_clear(struct text *t)
{
    t->len = 0;
    t->failed = 0;
}

void text_fini(struct text *t)
{
    free(t->data);
    *t = (struct text){NULL, 0, 0, 0};
}

/* Room for len bytes and a NUL behind what is there. */
static int reserve(struct text *t, size_t len)
{
    if (t->failed)
        return -1;
    if (t->cap - t->len > len)
        return 0;
    size_t cap = t->cap ? t->cap * 2 : 1024;
    while (cap - t->len <= len)
        cap *= 2;
    char *data = realloc(t->data, cap);
    if (!data) {
        t->failed = 1;
        return -1;
    }
    t->data = data;
    t->cap = cap;
    return 0;
}

void text_add(struct text *t, const char *data, size_t len)
{
    if (reserve(t, len) != 0)
        return;
    memcpy(t->data + t->len, data, len);
    t->len += len;
    t->data[t->len] = '\0';
}

void text_str(struct text *t, const char *s)
{
    if (s)
        text_add(t, s, strlen(s));
}

void text_html(struct text *t, const char *s)
{
    while (s && *s) {
        size_t plain = strcspn(s, "&<>\"");
        if (plain)
            text_add(t, s, plain);
        s += plain;
        switch (*s) {
        case '&': text_str(t, "&amp;"); break;
        case '<': text_str(t, "&lt;"); break;
        case '>': text_str(t, "&gt;"); break;
        case '"': text_str(t, "&quot;"); break;
        default: return;
        }
        s++;
    }
}

void text_fmt(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || reserve(t, (size_t)n) != 0) {
        t->failed = 1;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(t->data + t->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->len += (size_t)n;
}
