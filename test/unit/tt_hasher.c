/* A table of what was said, that only grows; looked up without a lock. */
#include "tt_hasher.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <xxhash.h>

#include "tt_util.h"

enum { PLACES = 1 << 21 };

static _Atomic uint64_t numbers[PLACES]; /* with 1 added; 0: free */
static _Atomic uint64_t hashes[PLACES];
static uint64_t said;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t usual(uint64_t number)
{
    uint64_t state = UINT64_C(0x5eed) ^ number;
    return tt_random(&state);
}

/* What stands for a key: a number of up to eight bytes is itself. */
static uint64_t number_of(const void *p, size_t n)
{
    uint64_t number = 0;
    if (n > sizeof number)
        return XXH3_64bits(p, n);
    memcpy(&number, p, n);
    return number;
}

/* Where the number stands, or where it would. */
static size_t place_of(uint64_t number)
{
    uint64_t state = number;
    size_t at = tt_random(&state) % PLACES;
    uint64_t is;
    while ((is = atomic_load_explicit(&numbers[at], memory_order_acquire)) != 0 && is != number + 1)
        at = (at + 1) % PLACES;
    return at;
}

uint64_t tt_hasher_hash(struct cache_slice key)
{
    uint64_t number = number_of(key.data, key.len);
    size_t at = place_of(number);
    return atomic_load_explicit(&numbers[at], memory_order_acquire) != 0
               ? atomic_load_explicit(&hashes[at], memory_order_relaxed)
               : usual(number);
}

void tt_hasher_say(struct cache_slice key, uint64_t hash)
{
    uint64_t number = number_of(key.data, key.len);
    if (tt_hasher_hash(key) == hash)
        return;
    pthread_mutex_lock(&lock);
    size_t at = place_of(number);
    if (++said > PLACES / 2)
        tt_die("more hashes than there are places for");
    atomic_store_explicit(&hashes[at], hash, memory_order_relaxed);
    atomic_store_explicit(&numbers[at], number + 1, memory_order_release);
    pthread_mutex_unlock(&lock);
}

static uint64_t hash_key(const void *ctx, const void *p, size_t n)
{
    (void)ctx;
    return tt_hasher_hash((struct cache_slice){ p, n });
}

struct tc_hasher tt_hasher(void)
{
    return (struct tc_hasher){ hash_key, NULL };
}
