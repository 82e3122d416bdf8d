/* The hash that a key keeps: of the bytes that it has, whatever was added after a look-up, whichever way looks it up
 * (tier/hit.h, tier/set.h and the general ones), and when many threads look up one key that nobody has looked up yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/key.h"
#include "tier/cache.h"
#include "tt_cache.h"
#include "tt_util.h"

static struct tt_cache b;

static int encode_begin(void *ctx, struct cache_key *k, const char *type_name)
{
    (void)ctx;
    return cache_key_append(k, type_name, strlen(type_name));
}

/* A part that says so breaks off behind its first byte. */
static int encode_part(void *ctx, struct cache_key *k, uint32_t index, struct cache_slice part)
{
    (void)ctx;
    (void)index;
    const char *text = part.data;
    if (part.len > 1 && text[1] == '!') {
        int rc = cache_key_append(k, text, 1);
        return rc != CACHE_OK ? rc : CACHE_E_INVALID;
    }
    return cache_key_append(k, part.data, part.len);
}

static const struct cache_key_encoder_ops raw = { CACHE_HOOKS_ABI, encode_begin, encode_part };

static int setup_with(const struct cache_key_encoder_ops *encoder)
{
    tt_cache_prepare(&b, false);
    b.opts.clock = NULL; /* with one of its own no call goes the short way */
    b.opts.key_encoder = encoder;
    tt_cache_open(&b);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return setup_with(NULL);
}

static int setup_raw(void **state)
{
    (void)state;
    return setup_with(&raw);
}

static int teardown(void **state)
{
    (void)state;
    return tt_cache_close(&b) ? 0 : -1;
}

static bool knows_its_hash(const struct cache_key *key)
{
    const struct tc_key *k = (const void *)key;
    return tc_key_known_hash(k) == tc_hash_key(&b.c->hash, tc_key_data(k), k->len);
}

static bool forgot_its_hash(const struct cache_key *key)
{
    return tc_key_known_hash((const void *)key) == 0;
}

/* Verbs that look a key up, of which each may be the first; those after it are to find what it stored. */
enum { FIRST_COPY, FIRST_PIN, FIRST_SET, FIRST_INVALIDATE, FIRST_MANY, FIRSTS };

static int look_up_first(struct cache_key *k, unsigned verb)
{
    char buf[TT_TEXT];
    struct cache_value v;
    struct cache_item item = { .key = k };
    int rc = CACHE_OK;
    switch (verb) {
    case FIRST_COPY:
        return cache_get_copy(b.c, k, buf, sizeof buf, NULL);
    case FIRST_PIN:
        rc = cache_get(b.c, k, NULL, &v);
        cache_value_release(&v);
        return rc;
    case FIRST_SET:
        return cache_set(b.c, k, "first", 5, NULL);
    case FIRST_INVALIDATE:
        return cache_invalidate(b.c, k, NULL);
    default:
        rc = cache_get_many(b.c, &item, 1, NULL);
        cache_value_release(&item.value);
        return rc == CACHE_OK ? item.status : rc;
    }
}

/* Looks up a key of bytes that nothing was stored under, keeps something there, and finds it. */
static void use(struct cache_key *k, unsigned verb, const char *text)
{
    bool stores = verb == FIRST_SET || verb == FIRST_INVALIDATE;
    assert_true(forgot_its_hash(k));
    assert_int_equal(look_up_first(k, verb), stores ? CACHE_OK : CACHE_MISS);
    assert_true(knows_its_hash(k));
    assert_int_equal(tt_cache_set(&b, k, text), CACHE_OK);
    assert_answer(tt_cache_get(&b, k), CACHE_OK, text);
    assert_true(knows_its_hash(k));
}

static char long_part[400];

/* Every way of adding to a key. */
static void add(struct cache_key *k, unsigned way)
{
    switch (way) {
    case 0: cache_key_str(k, "a"); break;
    case 1: cache_key_str(k, "a longer one"); break;
    case 2: cache_key_str(k, "withoutablank"); break;
    case 3: cache_key_bytes(k, "\0\xFF", 2); break;
    case 4: cache_key_bytes(k, NULL, 0); break;
    case 5: cache_key_u64(k, 7); break;
    case 6: cache_key_u64(k, UINT64_MAX); break;
    case 7: cache_key_i64(k, -1); break;
    case 8: cache_key_append(k, "raw", 3); break;
    default: cache_key_bytes(k, long_part, sizeof long_part); break; /* to the heap, and there the second time */
    }
}
enum { WAYS = 10 };

static void a_key_that_goes_on_after_a_look_up_is_another_key(void **state)
{
    (void)state;
    memset(long_part, 'l', sizeof long_part);
    for (unsigned verb = 0; verb < FIRSTS; verb++)
        for (unsigned way = 0; way < WAYS; way++) {
            struct cache_key k, alone;
            cache_key_u64(cache_key_u64(cache_key_init(&k, b.type), verb), way);
            use(&k, verb, "short");
            add(&k, way);
            use(&k, verb, "longer");
            add(&k, way);
            use(&k, verb, "longest");
            cache_key_u64(cache_key_u64(cache_key_init(&alone, b.type), verb), way);
            assert_answer(tt_cache_get(&b, &alone), CACHE_OK, "short");
            add(&alone, way);
            assert_answer(tt_cache_get(&b, &alone), CACHE_OK, "longer");
            add(&alone, way);
            assert_answer(tt_cache_get(&b, &alone), CACHE_OK, "longest");
            cache_key_fini(&alone);
            cache_key_fini(&k);
        }
}

static void a_key_that_starts_over_is_another_key(void **state)
{
    (void)state;
    struct cache_key k;
    use(cache_key_str(cache_key_init(&k, b.type), "one"), FIRST_COPY, "1");
    use(cache_key_str(cache_key_init(&k, b.type), "two"), FIRST_COPY, "2");
    use(cache_key_init(&k, b.type), FIRST_COPY, "of no part");
    cache_key_str(cache_key_init(&k, b.type), "one");
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "1");
}

static void what_an_encoder_appends_is_part_of_the_key(void **state)
{
    (void)state;
    struct cache_key k;
    use(cache_key_str(cache_key_init(&k, b.type), "one"), FIRST_PIN, "1");
    use(cache_key_str(&k, "and two"), FIRST_PIN, "2");
    cache_key_str(&k, ""); /* adds nothing here, so it is the same key */
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "2");
    cache_key_str(&k, "x!"); /* refused after it appended a byte */
    assert_true(forgot_its_hash(&k));
    assert_int_equal(tt_cache_get(&b, &k).status, CACHE_E_INVALID);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 300 };

struct shared {
    struct cache_key keys[ROUNDS]; /* of each nobody has made anything but the bytes */
};

static int look_all_up(void *arg, unsigned index)
{
    struct shared *s = arg;
    int failures = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char buf[8];
        struct cache_key *k = &s->keys[i];
        if ((i + index) % 4 == 0)
            TT_CHECK(failures, cache_set(b.c, k, &i, sizeof i, NULL) == CACHE_OK);
        int rc = cache_get_copy(b.c, k, buf, sizeof buf, NULL);
        TT_CHECK(failures, rc == CACHE_MISS || (rc == CACHE_OK && memcmp(buf, &i, sizeof i) == 0));
        TT_CHECK(failures, knows_its_hash(k));
    }
    return failures;
}

static void threads_may_share_a_key_that_nobody_has_looked_up_yet(void **state)
{
    (void)state;
    struct shared *s = tt_xmalloc(sizeof *s);
    for (unsigned i = 0; i < ROUNDS; i++)
        cache_key_u64(cache_key_init(&s->keys[i], b.type), i);
    assert_int_equal(tt_crew_join(tt_crew_start(THREADS, look_all_up, s)), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char buf[8];
        struct cache_key k;
        cache_key_u64(cache_key_init(&k, b.type), i);
        assert_int_equal(cache_get_copy(b.c, &k, buf, sizeof buf, NULL), CACHE_OK);
        assert_memory_equal(buf, &i, sizeof i);
    }
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_that_goes_on_after_a_look_up_is_another_key, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_that_starts_over_is_another_key, setup, teardown),
        cmocka_unit_test_setup_teardown(what_an_encoder_appends_is_part_of_the_key, setup_raw, teardown),
        cmocka_unit_test_setup_teardown(threads_may_share_a_key_that_nobody_has_looked_up_yet, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
