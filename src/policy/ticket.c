/* Tickets. The implicit ones live in a ring of thread-local memory: the last TC_TICKET_RING misses of the thread in any
 * cache, each named by the cache's random id and the key's keyed hash, so that neither a cache that was closed nor
 * another key can be mistaken for it. The ring is plain memory without a destructor: a thread may end at any moment. */
#include "policy/ticket.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "platform/platform.h"

#define TICKET_MAGIC UINT64_C(0x74636b7469636b31)

_Static_assert(sizeof(struct tc_ticket) == sizeof(struct cache_ticket), "the public struct is this one's shell");

void tc_ticket_write(struct cache_ticket *out, uint64_t cache_id, uint64_t hash, uint64_t generation, int64_t now_ms)
{
    struct tc_ticket t = { TICKET_MAGIC, cache_id, hash, generation, now_ms, { 0 } };
    memcpy(out, &t, sizeof t);
}

void tc_ticket_clear(struct cache_ticket *out)
{
    memset(out, 0, sizeof *out);
}

bool tc_ticket_read(const struct cache_ticket *in, uint64_t cache_id, uint64_t hash, uint64_t *generation)
{
    struct tc_ticket t;
    memcpy(&t, in, sizeof t);
    *generation = t.generation;
    return t.magic == TICKET_MAGIC && t.cache_id == cache_id && t.hash == hash;
}

struct miss {
    uint64_t cache_id, generation; /* cache_id 0: empty */
    int64_t taken_ms;
};

/* The hashes apart, since every set looks through them. */
static _Thread_local struct {
    _Alignas(16) uint64_t hashes[TC_TICKET_RING];
    struct miss misses[TC_TICKET_RING];
    unsigned next;
    unsigned open; /* misses that are not answered, or forgotten for newer ones */
} ring;

static bool is_at(unsigned i, uint64_t cache_id, uint64_t hash)
{
    return ring.hashes[i] == hash && ring.misses[i].cache_id == cache_id;
}

/* Where a hash lies in the ring: a bit for each place. Without a branch for each. */
#ifdef __SSE2__
#define HALVES(a, b, first) \
    _mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), _MM_SHUFFLE(first + 2, first, first + 2, first))

/* Four at a time: where both halves are the same. */
static uint64_t places_of(uint64_t hash)
{
    const __m128i *at = (const __m128i *)(const void *)ring.hashes, one = _mm_set1_epi64x((int64_t)hash);
    uint64_t places = 0;
    for (unsigned i = 0; i < TC_TICKET_RING; i += 4, at += 2) {
        __m128i a = _mm_cmpeq_epi32(_mm_load_si128(at), one), b = _mm_cmpeq_epi32(_mm_load_si128(at + 1), one);
        places |= (uint64_t)(unsigned)_mm_movemask_ps(_mm_and_ps(HALVES(a, b, 0), HALVES(a, b, 1))) << i;
    }
    return places;
}
#else
static uint64_t places_of(uint64_t hash)
{
    uint64_t places = 0;
    for (unsigned i = 0; i < TC_TICKET_RING; i++)
        places |= (uint64_t)(ring.hashes[i] == hash) << i;
    return places;
}
#endif
_Static_assert(TC_TICKET_RING == 64, "a bit for each");

static TC_APART unsigned search(uint64_t cache_id, uint64_t hash)
{
    for (uint64_t places = places_of(hash); places != 0; places &= places - 1)
        if (is_at((unsigned)__builtin_ctzll(places), cache_id, hash))
            return (unsigned)__builtin_ctzll(places);
    return TC_TICKET_RING;
}

/* Where the key's miss is, or TC_TICKET_RING. The last one is asked for most often; the others if misses are not
 * answered at once. */
static unsigned find(uint64_t cache_id, uint64_t hash)
{
    unsigned last = (ring.next - 1) % TC_TICKET_RING;
    if (ring.open == 0)
        return TC_TICKET_RING;
    return is_at(last, cache_id, hash) ? last : search(cache_id, hash);
}

static void forget(unsigned i)
{
    ring.open -= ring.misses[i].cache_id != 0;
    ring.misses[i].cache_id = 0;
}

void tc_ticket_remember(uint64_t cache_id, uint64_t hash, uint64_t generation, int64_t now_ms)
{
    unsigned i = find(cache_id, hash);
    if (i < TC_TICKET_RING)
        forget(i); /* its turn is that of the latest miss */
    i = ring.next++ % TC_TICKET_RING;
    forget(i);
    ring.open++;
    ring.hashes[i] = hash;
    ring.misses[i] = (struct miss){ cache_id, generation, now_ms };
}

bool tc_ticket_recall(uint64_t cache_id, uint64_t hash, int64_t now_ms, uint64_t *generation)
{
    unsigned i = find(cache_id, hash);
    if (i == TC_TICKET_RING)
        return false;
    struct miss *m = &ring.misses[i];
    *generation = m->generation;
    forget(i);
    return now_ms - m->taken_ms < TC_TICKET_IMPLICIT_MS;
}

bool tc_ticket_peek(uint64_t cache_id, uint64_t hash, int64_t now_ms, uint64_t *generation)
{
    unsigned i = find(cache_id, hash);
    if (i == TC_TICKET_RING)
        return false;
    *generation = ring.misses[i].generation;
    return now_ms - ring.misses[i].taken_ms < TC_TICKET_IMPLICIT_MS;
}

bool tc_ticket_any(void)
{
    return ring.open > 0;
}
