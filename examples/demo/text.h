/* text.h - a growing string with a sticky error: append freely, look at failed once. */
#ifndef DEMO_TEXT_H
#define DEMO_TEXT_H

#include <stddef.h>

struct text {
    char *data; /* ends in NUL once anything was added */
    size_t len;
    size_t cap;
    int failed; /* out of memory at some point: data is incomplete */
};

void text_clear(struct text *t); /* keeps the memory */
void text_fini(struct text *t);
void text_add(struct text *t, const char *data, size_t len);
void text_str(struct text *t, const char *s); /* NULL adds nothing */
void text_html(struct text *t, const char *s);
void text_fmt(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
