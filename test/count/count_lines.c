/* Calls for keys whose memory is in no cache, to be run under callgrind with a simulated cache of CACHE_BYTES: what
 * misses it is a line of memory that the calls touch. The tool is to count inside counted_call() and counted_sweep(),
 * and gives a sum for each of these:
 *
 *   touched N     N calls, each with nothing in the cache
 *   own N         N calls, each after others for other keys: lines that it has to itself
 *   written N M   N times, the cache emptied after M calls: what is written back
 *
 *   count_lines get|pin|set VALUE_BYTES CACHE_BYTES      pin is cache_get() and the release, set one that replaces */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include "tiercache.h"

/* Keys that are asked for together were stored at least 17 apart and less than 5,000: their entries share no line, but
 * what leads to many entries they share. One hit in 1,024 is timed: none of the calls that are counted. */
enum { KEYS = 100000, APART = 17, BATCHES = 4, OTHERS = 128, COUNTED = 64, SINGLY = 128, SETTLING = 2000 };
enum { L1_BYTES = 512 << 20, HOUR_MS = 3600000, LINE = 64, VALUE_MOST = 4096, CACHE_MOST = 1 << 24, TEXT = 32 };

enum verb { GET, PIN, SET };

static struct cache *c;
static struct cache_type *type;
static struct cache_key key; /* of the next call: the same memory for all */
static unsigned char value[VALUE_MOST];
static size_t value_bytes, cache_bytes;
static _Alignas(LINE) unsigned char filling[CACHE_MOST];

static int fail(const char *what)
{
    fprintf(stderr, "count_lines: %s\n", what);
    return 1;
}

/* 16 to 24 bytes, with the type's name. */
static void make_key(unsigned number)
{
    char part[TEXT];
    snprintf(part, sizeof part, "%0*u", 11 + (int)(number % 9), number);
    cache_key_str(cache_key_init(&key, type), part);
}

static inline int call(enum verb verb)
{
    struct cache_value v;
    if (verb == SET)
        return cache_set(c, &key, value, value_bytes, NULL);
    if (verb == GET)
        return cache_get_copy(c, &key, value, value_bytes, NULL);
    int rc = cache_get(c, &key, NULL, &v);
    cache_value_release(&v);
    return rc;
}

/* Whatever is in the cache leaves it. */
static inline void sweep(void)
{
    for (size_t i = 0; i < cache_bytes; i += LINE)
        *(volatile unsigned char *)(filling + i);
}

#define COUNTED_IN __attribute__((noinline, noclone))
void counted_call(enum verb verb, int *rc);
void counted_sweep(void);

COUNTED_IN void counted_call(enum verb verb, int *rc)
{
    *rc |= call(verb);
}

COUNTED_IN void counted_sweep(void)
{
    sweep();
}

/* ---- what is summed up ---- */

static int touched(enum verb verb)
{
    int rc = 0;
    for (unsigned i = 0; i < SINGLY; i++) {
        make_key(i * (KEYS / SINGLY));
        sweep();
        counted_call(verb, &rc);
    }
    return rc;
}

static int own(enum verb verb)
{
    int rc = 0;
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        unsigned first = batch * (KEYS / BATCHES);
        sweep();
        for (unsigned i = 0; i < OTHERS; i++) {
            make_key(first + 2 * i * APART);
            rc |= call(verb);
        }
        /* In between those, of which some thus lie before and some behind each. */
        for (unsigned i = 0; i < COUNTED; i++) {
            make_key(first + (OTHERS - COUNTED + 2 * i + 1) * APART);
            counted_call(verb, &rc);
        }
    }
    return rc;
}

static int written(enum verb verb, unsigned calls)
{
    int rc = 0;
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        sweep();
        for (unsigned i = 0; i < calls; i++) {
            make_key(batch * (KEYS / BATCHES) + i * APART);
            rc |= call(verb);
        }
        counted_sweep();
    }
    return rc;
}

static int count(enum verb verb)
{
    char text[TEXT];
    int rc = 0;
    CALLGRIND_START_INSTRUMENTATION;
    rc |= touched(verb);
    snprintf(text, sizeof text, "touched %d", SINGLY);
    CALLGRIND_DUMP_STATS_AT(text);
    rc |= own(verb);
    snprintf(text, sizeof text, "own %d", BATCHES * COUNTED);
    CALLGRIND_DUMP_STATS_AT(text);
    for (unsigned calls = OTHERS; calls <= OTHERS + COUNTED; calls += COUNTED) {
        rc |= written(verb, calls);
        snprintf(text, sizeof text, "written %d %u", BATCHES, calls);
        CALLGRIND_DUMP_STATS_AT(text);
    }
    CALLGRIND_STOP_INSTRUMENTATION;
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return fail("get, pin or set, the bytes of a value, and those of the cache");
    enum verb verb = strcmp(argv[1], "get") == 0 ? GET : strcmp(argv[1], "pin") == 0 ? PIN : SET;
    struct cache_opts o = CACHE_OPTS_INIT;
    struct cache_type_opts t = CACHE_TYPE_OPTS_INIT;
    value_bytes = strtoul(argv[2], NULL, 10);
    cache_bytes = strtoul(argv[3], NULL, 10);
    if (value_bytes > VALUE_MOST || cache_bytes > CACHE_MOST)
        return fail("too many bytes");
    o.l1_bytes = L1_BYTES;
    o.l1_stripes = 1; /* of many stripes each is used so seldom here that its lines would count as a key's own */
    t.name = "user";
    t.ttl_ms = HOUR_MS;
    if (cache_open(&o, &c, NULL, 0) != CACHE_OK || cache_type_register(c, &t, &type) != CACHE_OK)
        return fail("no cache");
    for (unsigned i = 0; i < KEYS; i++) {
        make_key(i);
        if (cache_set(c, &key, value, value_bytes, NULL) != CACHE_OK)
            return fail("set");
    }
    /* Of a table that happens to grow just now each change is made twice, until stores with the lock end that. */
    make_key(0);
    for (unsigned i = 0; i < SETTLING; i++)
        if (cache_set(c, &key, value, i % 2 != 0 ? VALUE_MOST : 1, NULL) != CACHE_OK)
            return fail("set");
    if (cache_set(c, &key, value, value_bytes, NULL) != CACHE_OK || count(verb) != CACHE_OK)
        return fail("a call failed");
    return cache_close(c, 1000) == CACHE_OK ? 0 : fail("cache_close");
}
