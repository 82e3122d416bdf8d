/* Versions that go round: within the time for which somebody may be reading none comes twice, and entries are written
 * over without end where all readers go on. The readers are records of threads that are no more: the test enters and
 * leaves in their names. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tier/l1/overwrite.h"
#include "tt_util.h"
#include "unit/tt_item.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SPEED = 8 };
#else
enum { SPEED = 1 };
#endif

enum {
    LIMIT = 768 << 10,
    LIFE_MS = 1000000,
    READERS = 3,
    ROUND = 256,           /* versions */
    QUARTER = ROUND / 4,
    KEYS = 8,              /* of those that are written over */
    CELLS = 4096,          /* that these ever had */
};

struct readers {
    struct tt_l1 *r;
    struct tc_reader *of[READERS];
    pthread_barrier_t all;
};

struct test {
    struct tt_l1 *r;
    struct tc_reader *readers[READERS];
};

static int lend_record(void *arg, unsigned index)
{
    struct readers *w = arg;
    w->of[index] = tc_reader_self(&w->r->l1.readers);
    pthread_barrier_wait(&w->all); /* all at once, or one would get the record of another that is no more */
    return w->of[index] == NULL;
}

static int setup_alone(void **state)
{
    struct test *t = tt_xcalloc(sizeof *t);
    t->r = tt_l1_new(LIMIT, 1, NULL);
    assert_non_null(t->r);
    assert_true(t->r->l1.paged);
    for (size_t i = 0; i < TT_L1_TYPES; i++)
        tc_l1_know(&t->r->l1, t->r->types[i]);
    assert_non_null(tc_reader_self(&t->r->l1.readers));
    *state = t;
    return 0;
}

static int setup(void **state)
{
    assert_int_equal(setup_alone(state), 0);
    struct test *t = *state;
    struct readers w = { .r = t->r };
    assert_int_equal(pthread_barrier_init(&w.all, NULL, READERS), 0);
    assert_int_equal(tt_crew_join(tt_crew_start(READERS, lend_record, &w)), 0);
    pthread_barrier_destroy(&w.all);
    memcpy(t->readers, w.of, sizeof t->readers);
    assert_false(tc_readers_alone(&t->r->l1.readers));
    return 0;
}

static int teardown(void **state)
{
    struct test *t = *state;
    bool clean = tt_l1_free(t->r);
    free(t);
    return clean ? 0 : -1;
}

static struct tt_item item(uint64_t number, uint64_t version)
{
    struct tt_item i = { .number = number, .version = version, .life_ms = LIFE_MS, .key_len = 16, .len = 200 };
    memset(i.key, 'k', i.key_len);
    memcpy(i.key, &number, sizeof number);
    return i;
}

static uint32_t refs_in(struct tt_l1 *r, uint32_t cell)
{
    return atomic_load(&tt_item_entry(r, cell)->refs);
}

/* How many values ago it was the first version. */
static uint32_t version_in(struct tt_l1 *r, uint32_t cell)
{
    uint32_t version = refs_in(r, cell) & TC_ENTRY_VERSIONS;
    assert_int_equal(version & TC_ENTRY_WRITING, 0);
    return version / (2 * TC_ENTRY_VERSION_ONE);
}

/* As cache_set() does: without the lock, and if that will not do, with it, one way or the other. *over: without. */
static void set(struct tt_l1 *r, const struct tt_item *i, bool *over)
{
    unsigned char value[TT_ITEM_LEN_MOST];
    struct tc_entry_parts p = tt_item_parts_of(r, i, value);
    bool replaced;
    *over = tt_l1_set_over(r, &p);
    if (!*over && !tc_l1_set(&r->l1, &p, NULL, &replaced))
        assert_int_equal(tt_item_put(r, i, 0), CACHE_OK);
}

/* ---- what a reader may see ---- */

/* By cell: which versions were there while a reader was inside. */
struct seen {
    uint32_t cell;
    bool of[READERS][ROUND];
};

struct watch {
    struct test *t;
    struct seen *cells;
    size_t n;
    bool inside[READERS];
};

static struct seen *seen_in(struct watch *w, uint32_t cell)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->cells[i].cell == cell)
            return &w->cells[i];
    assert_true(w->n < CELLS);
    w->cells[w->n].cell = cell;
    return &w->cells[w->n++];
}

static void note(struct watch *w, uint32_t cell, size_t reader, bool is_new)
{
    bool *seen = &seen_in(w, cell)->of[reader][version_in(w->t->r, cell)];
    assert_false(is_new && *seen);
    *seen = true;
}

static void enter(struct watch *w, size_t reader, const uint32_t *cells)
{
    tc_reader_enter(&w->t->r->l1.readers, w->t->readers[reader]);
    w->inside[reader] = true;
    for (size_t i = 0; i < KEYS; i++)
        note(w, cells[i], reader, false);
}

static void leave(struct watch *w, size_t reader)
{
    tc_reader_leave(w->t->readers[reader]);
    w->inside[reader] = false;
    for (size_t i = 0; i < w->n; i++)
        memset(w->cells[i].of[reader], 0, sizeof w->cells[i].of[reader]);
}

/* What the cells saw, all in all. */
struct went {
    uint64_t round;     /* from the last version to the first */
    uint64_t elsewhere; /* to another cell */
    uint64_t with_lock;
};

/* As if there were so many entries that it is time whenever another one comes. */
static void have_many_come(struct tt_l1 *r)
{
    r->l1.stripes[0].versions.came = TC_VERSIONS_CAME_LEAST;
}

static void write_one(struct watch *w, uint64_t number, uint64_t version, uint32_t *cells, struct went *went)
{
    struct tt_l1 *r = w->t->r;
    struct tt_item i = item(number, version);
    uint32_t before = version_in(r, cells[number]);
    bool over;
    have_many_come(r);
    set(r, &i, &over);
    uint32_t cell = tt_item_cell_of(r, &i);
    assert_true(cell == cells[number] || !over);
    went->with_lock += !over;
    went->elsewhere += cell != cells[number];
    went->round += cell == cells[number] && version_in(r, cell) < before;
    for (size_t reader = 0; reader < READERS; reader++)
        if (w->inside[reader])
            note(w, cell, reader, true);
    cells[number] = cell;
}

/* Some keys much more often than others; readers stay for anything from one value to several rounds. */
static void no_version_comes_twice_while_somebody_reads(void **state)
{
    enum { WRITES = 400000 / SPEED };
    struct watch w = { .t = *state, .cells = tt_xcalloc(CELLS * sizeof *w.cells) };
    struct went went = { 0 };
    uint32_t cells[KEYS];
    uint64_t seed = tt_seed(), least = WRITES / ROUND / 80; /* the two most frequent ones go round some ten times more */
    for (uint64_t n = 0; n < KEYS; n++) {
        struct tt_item i = item(n, 1);
        tt_item_store(w.t->r, &i);
        cells[n] = tt_item_cell_of(w.t->r, &i);
    }
    for (uint64_t n = 2; n < WRITES; n++) {
        uint64_t random = tt_random(&seed);
        size_t reader = random % READERS;
        if (random >> 8 & 3 && (random >> 16) % (w.inside[reader] ? 2 * ROUND : ROUND) == 0)
            w.inside[reader] ? leave(&w, reader) : enter(&w, reader, cells);
        uint64_t key = (random >> 32) % KEYS;
        write_one(&w, (random >> 40) % 4 == 0 ? key : key % 2, n, cells, &went);
    }
    for (size_t reader = 0; reader < READERS; reader++)
        leave(&w, reader);
    assert_true(went.round > least && went.elsewhere > least);
    assert_true(went.with_lock < WRITES / 20);
    assert_true(tc_l1_check(&w.t->r->l1));
    free(w.cells);
}

/* However many values come, and however often it would be time. */
static void while_a_reader_stays_no_cell_goes_all_the_way_round(void **state)
{
    struct test *t = *state;
    struct tt_item i = item(0, 1);
    bool over;
    tt_item_store(t->r, &i);
    for (int n = 0; n < 8; n++) {
        uint32_t cell = tt_item_cell_of(t->r, &i), refs = refs_in(t->r, cell);
        struct tc_entry *e = tt_item_entry(t->r, cell);
        tc_reader_enter(&t->r->l1.readers, t->readers[0]);
        for (int k = 0; k < 3 * ROUND + 11 * n; k++) {
            unsigned char buf[TT_ITEM_LEN_MOST];
            struct tc_entry_taken taken;
            i.version++;
            have_many_come(t->r);
            set(t->r, &i, &over);
            tt_item_assert_found(t->r, &i, true);
            assert_false(tt_l1_take(e, refs, buf, sizeof buf, 0, &taken)); /* nor what he read where it lay before */
            assert_true(tt_item_cell_of(t->r, &i) != cell || !tc_l1_try_hold(e, refs));
        }
        assert_int_not_equal(tt_item_cell_of(t->r, &i), cell);
        tc_reader_leave(t->readers[0]);
    }
}

/* ---- without end ---- */

static void alone_one_cell_is_written_over_without_end_and_without_steps(void **state)
{
    enum { IDLE = 1000 };
    struct test *t = *state;
    struct tt_item i;
    for (uint64_t n = 0; n <= IDLE; n++) {
        i = item(n, 1);
        tt_item_store(t->r, &i);
    }
    uint32_t cell = tt_item_cell_of(t->r, &i);
    uint64_t epoch = tc_readers_epoch(&t->r->l1.readers);
    uint32_t version = version_in(t->r, cell);
    for (int n = 0; n < 5 * ROUND; n++) {
        bool over;
        i.version++;
        set(t->r, &i, &over);
        assert_int_equal(tt_item_cell_of(t->r, &i), cell);
        assert_int_equal(over, (version + 1) % QUARTER != 0); /* a quarter begins with the lock */
        assert_int_equal(version_in(t->r, cell), (version + 1) % ROUND);
        version = version_in(t->r, cell);
        tt_item_assert_found(t->r, &i, true);
    }
    assert_int_equal(tc_readers_epoch(&t->r->l1.readers), epoch);
    assert_int_equal(t->r->l1.stripes[0].left.bytes, 0);
}

/* A few that are stored again and again do not make everybody step each time: now and then they get other cells. */
static void among_others_few_entries_take_no_steps_to_speak_of(void **state)
{
    enum { TIMES = 30 * ROUND };
    struct test *t = *state;
    for (uint64_t keys = 1; keys <= KEYS; keys += KEYS - 1) {
        uint64_t epoch = tc_readers_epoch(&t->r->l1.readers), elsewhere = 0;
        uint32_t cells[KEYS] = { 0 };
        for (uint64_t n = 0; n < TIMES; n++) {
            bool over;
            struct tt_item i = item(n % keys, n);
            set(t->r, &i, &over);
            uint32_t cell = over ? cells[i.number] : tt_item_cell_of(t->r, &i);
            elsewhere += cells[i.number] != 0 && cell != cells[i.number];
            cells[i.number] = cell;
        }
        assert_in_range(elsewhere, 1, TIMES / (2 * QUARTER));
        assert_true(tc_readers_epoch(&t->r->l1.readers) - epoch <= elsewhere / 2); /* for those to be freed */
    }
}

static uint64_t fill(struct tt_l1 *r)
{
    uint64_t n = 0;
    while (tt_l1_count(r, TC_COUNT_l1_evicted_bytes) < 2 * QUARTER) {
        struct tt_item i = item(n++, 1);
        tt_item_store(r, &i);
    }
    tc_limbo_clear(&r->l1);
    return n;
}

/* Stores a new one. True: not in place of the one whose turn it was. */
static bool lies_otherwise(struct tt_l1 *r, uint64_t number)
{
    struct tt_item i = item(number, 1);
    uint32_t victim = tt_item_victim(r);
    tt_item_store(r, &i);
    return tt_item_cell_of(r, &i) != victim;
}

/* Stores new ones until each entry has been written over so often. Returns how many of them lie otherwise. */
static uint64_t turn_over(struct tt_l1 *r, uint64_t *next, uint64_t times)
{
    uint64_t otherwise = 0;
    for (uint64_t n = times * r->l1.stripes[0].index.count; n > 0; n--)
        otherwise += lies_otherwise(r, (*next)++);
    return otherwise;
}

static void those_that_leave_in_turn_are_all_written_over_for_ever(void **state)
{
    enum { TIMES = SPEED == 1 ? ROUND + 2 * QUARTER : ROUND - QUARTER + 10 };
    struct test *t = *state;
    uint64_t next = fill(t->r), epoch = tc_readers_epoch(&t->r->l1.readers);
    assert_int_equal(turn_over(t->r, &next, TIMES), 0);
    assert_int_equal(t->r->l1.stripes[0].left.bytes, 0);
    assert_in_range(tc_readers_epoch(&t->r->l1.readers) - epoch, 2, 10 * TIMES / QUARTER);
    assert_true(tc_l1_check(&t->r->l1));
}

static void while_a_reader_stays_they_leave_the_long_way_and_after_that_as_before(void **state)
{
    struct test *t = *state;
    uint64_t next = fill(t->r);
    tc_reader_enter(&t->r->l1.readers, t->readers[1]);
    uint64_t first = next, otherwise = 0;
    while (otherwise < 4 && next - first < (uint64_t)ROUND * t->r->l1.stripes[0].index.count)
        otherwise += lies_otherwise(t->r, next++);
    assert_int_equal(otherwise, 4);
    assert_true(tc_l1_check(&t->r->l1));
    tc_reader_leave(t->readers[1]);
    turn_over(t->r, &next, 1);
    assert_int_equal(turn_over(t->r, &next, QUARTER), 0);
    assert_true(tc_l1_check(&t->r->l1));
}

/* Who read when the bar came down is seen to be through without another system call. */
static void after_two_steps_it_is_enough_to_look(void **state)
{
    struct test *t = *state;
    struct tc_versions *v = &t->r->l1.stripes[0].versions;
    struct tc_readers *readers = &t->r->l1.readers;
    uint64_t next = fill(t->r);
    tc_reader_enter(readers, t->readers[2]);
    while (!v->both || !tc_readers_stepped(readers, v->epoch))
        assert_false(lies_otherwise(t->r, next++));
    for (int n = 0; n < QUARTER; n++)
        assert_false(lies_otherwise(t->r, next++));
    assert_true(v->both);
    tc_reader_leave(t->readers[2]);
    uint64_t epoch = tc_readers_epoch(readers);
    while (v->both)
        assert_false(lies_otherwise(t->r, next++));
    assert_int_equal(tc_readers_epoch(readers), epoch);
}

/* As chance will have it, by which some are ahead of the others, and more and more so. */
static void where_values_are_replaced_few_of_them_get_another_cell(void **state)
{
    enum { MANY = 1200, TIMES = SPEED == 1 ? 3 * ROUND : ROUND };
    struct test *t = *state;
    uint64_t seed = tt_seed(), elsewhere = 0, epoch = tc_readers_epoch(&t->r->l1.readers);
    static uint32_t cells[MANY];
    for (uint64_t n = 0; n < MANY; n++) {
        struct tt_item i = item(n, 1);
        tt_item_store(t->r, &i);
        cells[n] = tt_item_cell_of(t->r, &i);
    }
    for (uint64_t n = 0; n < (uint64_t)TIMES * MANY; n++) {
        bool over;
        struct tt_item i = item(tt_random(&seed) % MANY, n);
        set(t->r, &i, &over);
        if (over)
            continue;
        uint32_t cell = tt_item_cell_of(t->r, &i);
        elsewhere += cell != cells[i.number];
        cells[i.number] = cell;
    }
    assert_true(elsewhere < (uint64_t)TIMES * MANY / 1500);
    assert_in_range(tc_readers_epoch(&t->r->l1.readers) - epoch, 2, 10 * TIMES / QUARTER);
}

/* In the middle of the others. */
static void one_that_is_new_begins_behind_the_bar_that_came_down_last(void **state)
{
    struct test *t = *state;
    struct tt_item old = item(0, 1);
    uint32_t begins[4] = { 0 };
    tt_item_store(t->r, &old);
    for (uint64_t n = 1; n < 2 * ROUND; n++) {
        bool over;
        old.version++;
        set(t->r, &old, &over);
        struct tt_item new = item(n, 1);
        tt_item_store(t->r, &new);
        uint32_t version = version_in(t->r, tt_item_cell_of(t->r, &new)), bar = t->r->l1.stripes[0].versions.bar;
        assert_int_equal(version, (bar + 1) % 4 * QUARTER);
        begins[version / QUARTER]++;
        tc_l1_invalidate(&t->r->l1, tt_item_ref_of(&new));
    }
    assert_true(begins[0] > ROUND / 4 && begins[2] > ROUND / 4 && begins[1] + begins[3] == 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define ALONE(test) cmocka_unit_test_setup_teardown(test, setup_alone, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(no_version_comes_twice_while_somebody_reads),
        WITH(while_a_reader_stays_no_cell_goes_all_the_way_round),
        ALONE(alone_one_cell_is_written_over_without_end_and_without_steps),
        WITH(among_others_few_entries_take_no_steps_to_speak_of),
        WITH(those_that_leave_in_turn_are_all_written_over_for_ever),
        WITH(while_a_reader_stays_they_leave_the_long_way_and_after_that_as_before),
        WITH(after_two_steps_it_is_enough_to_look),
        WITH(where_values_are_replaced_few_of_them_get_another_cell),
        ALONE(one_that_is_new_begins_behind_the_bar_that_came_down_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
