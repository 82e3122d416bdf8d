/* checker.c - what counts as a wrong answer, counted here and nowhere else:
 *
 *   - bytes of another package's page, or damaged bytes (the page's checksum);
 *   - a revision that never existed, or that exists with another token;
 *   - a revision that was replaced, when the acknowledged invalidation of its replacement is longer ago than the
 *     type's L1 TTL (and one tick of the coarse clock on which L1 decides expiry). Answers that the library flagged as
 *     stale are not wrong for their age: the caller was told. They are counted and their age is shown.
 *
 * The log is written by the parent alone. A change is in the log before it is committed, so that a page can never show
 * a revision that the log does not know; ages are judged by the time the request began, which is before the answer
 * was read and hence in favour of finding it wrong only if it was too old already then. */
#include "checker.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "page.h"

static int64_t coarse_tick_ns(void)
{
    struct timespec t = {0, 0};
    clock_getres(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void raise_to(_Atomic int64_t *largest, int64_t value)
{
    int64_t seen = atomic_load_explicit(largest, memory_order_relaxed);
    while (value > seen && !atomic_compare_exchange_weak(largest, &seen, value)) {
    }
}

/* The change that replaced revision, or NULL if revision is the latest. *made is the change that made revision; NULL
 * if that is the first revision, or one that never was. */
static const struct change *replaced_by(const struct shared *s, uint32_t item, uint32_t revision,
                                        const struct change **made)
{
    const struct change *next = NULL;
    uint32_t i = atomic_load_explicit(&s->latest[item], memory_order_acquire);
    *made = NULL;
    while (i != 0 && s->change[i - 1].revision > revision) {
        next = &s->change[i - 1];
        i = next->previous;
    }
    if (i != 0 && s->change[i - 1].revision == revision)
        *made = &s->change[i - 1];
    return next;
}

static enum wrong judge_age(struct worker_results *w, const struct change *next, int flagged, int64_t begin_ns)
{
    static const int64_t ttl_ns = PAGE_L1_TTL_MS * INT64_C(1000000);
    int64_t commit = atomic_load(&next->commit_ns), first = atomic_load(&next->first_ack_ns);
    int64_t ack = atomic_load(&next->ack_ns);
    if (flagged) {
        if (commit != 0 && begin_ns > commit) {
            atomic_fetch_add(&w->flagged_old, 1);
            raise_to(&w->flagged_staleness_ns, begin_ns - commit);
        }
        return WRONG_NOT;
    }
    if (first != 0 && begin_ns > first) {
        atomic_fetch_add(&w->stale_reads, 1);
        raise_to(&w->staleness_first_ns, begin_ns - first);
    }
    if (ack == 0 || begin_ns <= ack)
        return WRONG_NOT;
    raise_to(&w->staleness_ns, begin_ns - ack);
    return begin_ns > ack + ttl_ns + coarse_tick_ns() ? WRONG_TOO_OLD : WRONG_NOT;
}

static enum wrong judge(const struct demo *d, struct worker_results *w, uint32_t item, const void *data, size_t len,
                        int flagged, int64_t begin_ns)
{
    const char *name = d->catalogue.names[item];
    struct page_claim claim;
    if (page_parse(data, len, &claim) != 0 || !claim.intact)
        return WRONG_BYTES;
    if (claim.name_len != strlen(name) || memcmp(claim.name, name, claim.name_len) != 0)
        return WRONG_OTHER_KEY;
    const struct change *made, *next = replaced_by(d->shared, item, claim.revision, &made);
    if (claim.revision == 1 ? claim.token != page_first_token(name) : !made || claim.token != made->token)
        return WRONG_NEVER_EXISTED;
    return next ? judge_age(w, next, flagged, begin_ns) : WRONG_NOT;
}

enum wrong checker_judge(const struct demo *d, struct worker_results *w, uint32_t item, const void *data, size_t len,
                         int flagged, int64_t begin_ns)
{
    enum wrong verdict = judge(d, w, item, data, len, flagged, begin_ns);
    if (verdict != WRONG_NOT)
        atomic_fetch_add(&w->wrong[verdict], 1);
    return verdict;
}

/* ---- the checker's own test -------------------------------------------------------------------------------------- */

static int expect(const struct demo *d, struct worker_results *w, const struct text *page, int flagged,
                  int64_t begin_ns, enum wrong wanted)
{
    return checker_judge(d, w, 0, page->data, page->len, flagged, begin_ns) == wanted ? 0 : -1;
}

/* A log in which revision 2 of package "a" was committed at 1 s and acknowledged at 2 s and at 3 s. */
static int selftest_with(struct shared *s, struct worker_results *w)
{
    static char name_a[] = "a", name_b[] = "b";
    char *names[] = {name_a, name_b};
    struct demo d = {s, {names, 2, 0, NULL}, {0}};
    static const int64_t second = 1000000000;
    uint64_t token_2 = 77;
    s->change[0].revision = 2;
    s->change[0].token = token_2;
    atomic_store(&s->change[0].commit_ns, second);
    atomic_store(&s->change[0].first_ack_ns, 2 * second);
    atomic_store(&s->change[0].ack_ns, 3 * second);
    atomic_store(&s->latest[0], 1);

    struct text old = {0}, new = {0}, other = {0}, forged = {0}, damaged = {0};
    page_seal(&old, "a", 1, page_first_token("a"));
    page_seal(&new, "a", 2, token_2);
    page_seal(&other, "b", 1, page_first_token("b"));
    page_seal(&forged, "a", 2, token_2 + 1);
    page_seal(&damaged, "a", 2, token_2);
    int bad = old.failed || new.failed || other.failed || forged.failed || damaged.failed;
    if (!bad) {
        damaged.data[damaged.len - 1] ^= 1;
        bad |= expect(&d, w, &new, 0, 9 * second, WRONG_NOT);
        bad |= expect(&d, w, &old, 0, 3 * second + second / 2, WRONG_NOT);
        bad |= expect(&d, w, &old, 0, 4 * second + second / 2, WRONG_TOO_OLD);
        bad |= expect(&d, w, &old, 1, 4 * second + second / 2, WRONG_NOT);
        bad |= expect(&d, w, &other, 0, 0, WRONG_OTHER_KEY);
        bad |= expect(&d, w, &forged, 0, 0, WRONG_NEVER_EXISTED);
        bad |= expect(&d, w, &damaged, 0, 0, WRONG_BYTES);
        bad |= atomic_load(&w->staleness_ns) != second + second / 2 || atomic_load(&w->flagged_old) != 1;
    }
    text_fini(&old);
    text_fini(&new);
    text_fini(&other);
    text_fini(&forged);
    text_fini(&damaged);
    return bad ? -1 : 0;
}

int checker_selftest(void)
{
    struct shared *s = shared_map(2);
    if (!s)
        return -1;
    int rc = selftest_with(s, &s->worker[0]);
    shared_unmap(s, 2);
    return rc;
}
