/* Reading the option structs that callers fill: any size from an older or newer header, checked, with defaults. */
#ifndef TC_API_OPTIONS_H
#define TC_API_OPTIONS_H

#include <stdbool.h>

#include "tier/cache.h"

/* Copies a struct that begins with its own size into out (out_size bytes, the rest zeroed). False: it is smaller than
 * its first field, or has non-zero bytes beyond what this library knows. in NULL: false. */
bool tc_options_copy(void *out, size_t out_size, const void *in);

/* Checks o; err (may be NULL) gets a sentence. CACHE_OK, CACHE_E_INVALID, CACHE_E_ABI. With CACHE_OK o's zeros are
 * replaced by their defaults. */
int tc_options_complete(struct cache_opts *o, char *err, size_t err_cap);

/* The options of a call, or the defaults if in is NULL. CACHE_OK, CACHE_E_INVALID. */
int tc_options_call(const struct cache_call *in, struct cache_call *o);
int tc_options_set(const struct cache_set_opts *in, struct cache_set_opts *o);

int tc_options_refuse(char *err, size_t err_cap, int status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* What the Redis backend said against a URL, without its own name for it: err begins with the field's. */
const char *tc_options_url_fault(const char *why);

#endif
