/* A process that crashes while it loads or writes: this program again, started with the name of a crime. Whoever comes
 * after it finds in L2 nothing, or what was there before, or what was written, each of them whole. Case 46 of
 * docs/faults.md. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_redis.h"
#include "fake/tt_redis_server.h"
#include "fake/tt_util.h"
#include "platform/platform.h"

enum { KEYS = 48, WRITERS = 4, BATCH = 4, ROUNDS = 8, EXIT_STATUS = 7, LARGE_BYTES = 8 << 20, SMALL_MAX = 20000 };
enum { LONG_MS = 20000 };

extern char **environ;

static struct tt_cache b; /* of the criminal, and of who comes after it */

static void open_on(const char *url)
{
    tt_cache_prepare(&b, false);
    b.opts.clock = NULL;
    b.opts.l2_url = url;
    b.opts.flags = CACHE_OPEN_REQUIRE_L2;
    b.opts.connect_timeout_ms = b.opts.timeout_ms = b.opts.l2_timeout_ms = LONG_MS;
    tt_cache_open(&b);
}

static struct cache_key *make_key(struct cache_key *k, uint64_t number)
{
    return cache_key_u64(cache_key_init(k, b.type), number);
}

/* ---- values that can be checked: whose they are, which one, and as many bytes as that one says ---- */

struct head {
    uint64_t key, number;
};

static size_t size_of(uint64_t number)
{
    return sizeof(struct head) + (number % 16 == 0 ? number % (16 * SMALL_MAX) : number % SMALL_MAX);
}

/* Caller frees. */
static unsigned char *make_value(uint64_t key, uint64_t number)
{
    struct head h = { key, number };
    unsigned char *value = tt_xmalloc(size_of(number));
    memset(value, (int)(number >> 32), size_of(number));
    memcpy(value, &h, sizeof h);
    return value;
}

static bool is_whole(uint64_t key, const void *data, size_t len)
{
    struct head h;
    if (len < sizeof h)
        return false;
    memcpy(&h, data, sizeof h);
    if (h.key != key || len != size_of(h.number))
        return false;
    unsigned char *value = make_value(h.key, h.number);
    bool same = memcmp(data, value, len) == 0;
    free(value);
    return same;
}

/* ---- crimes: what the other process does ---- */

static void die_by_exit(void)
{
    exit(EXIT_STATUS);
}

static void die_at_once(void)
{
    _exit(EXIT_STATUS);
}

static void die_killed(void)
{
    raise(SIGKILL);
}

static void die_aborting(void)
{
    static const struct rlimit none;
    setrlimit(RLIMIT_CORE, &none);
    abort();
}

static const struct {
    const char *name;
    void (*die)(void);
    int signal; /* 0: ends with EXIT_STATUS */
} deaths[] = {
    { "exit", die_by_exit, 0 },
    { "_exit", die_at_once, 0 },
    { "kill", die_killed, SIGKILL },
    { "abort", die_aborting, SIGABRT },
};

static int die_inside(struct tt_loader *l, struct cache_load *ld, const struct cache_key *k)
{
    void (*const *die)(void) = l->arg;
    (void)k;
    cache_load_reply(ld, "half of what", 12); /* a reply that was given is not a load that has ended */
    (*die)();
    return CACHE_OK;
}

/* Ends inside a loader. */
static int load_and_die(size_t death)
{
    struct cache_key k;
    struct tt_loader l;
    tt_loader_init(&l, "never");
    l.inside = die_inside;
    l.arg = (void *)&deaths[death].die;
    tt_cache_fetch(&b, make_key(&k, 1), &l);
    return EXIT_FAILURE;
}

/* Writes something large, and is killed by its parent before the server has read all of it. */
static int write_large(void)
{
    struct cache_key k;
    return tt_cache_set_bytes(&b, make_key(&k, 1), LARGE_BYTES) == CACHE_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int load_value(struct cache_load *ld, const struct cache_key *k, void *arg)
{
    const struct head *h = arg;
    (void)k;
    unsigned char *value = make_value(h->key, h->number);
    int rc = cache_load_reply(ld, value, size_of(h->number));
    free(value);
    return rc;
}

static void write_many(uint64_t *random)
{
    struct cache_key keys[BATCH];
    struct cache_item items[BATCH];
    unsigned char *values[BATCH];
    memset(items, 0, sizeof items);
    for (size_t i = 0; i < BATCH; i++) {
        uint64_t key = tt_random(random) % KEYS, number = tt_random(random);
        values[i] = make_value(key, number);
        items[i] = (struct cache_item){ .key = make_key(&keys[i], key), .data = values[i], .len = size_of(number) };
    }
    cache_set_many(b.c, items, BATCH, NULL);
    for (size_t i = 0; i < BATCH; i++)
        free(values[i]);
}

static void write_one(uint64_t *random)
{
    struct head h = { tt_random(random) % KEYS, tt_random(random) };
    struct cache_fetch_opts o = CACHE_FETCH_OPTS_INIT;
    struct cache_key k;
    struct cache_value v;
    o.load = load_value;
    o.user = &h;
    make_key(&k, h.key);
    unsigned char *value = make_value(h.key, h.number);
    switch (tt_random(random) % 4) {
    case 0:
        cache_fetch(b.c, &k, &o, &v);
        cache_value_release(&v);
        break;
    case 1:
        cache_invalidate(b.c, &k, NULL);
        break;
    default:
        cache_set(b.c, &k, value, size_of(h.number), NULL);
    }
    free(value);
}

/* A byte on the standard output for each thing that was done; whoever reads it knows when to kill. */
static int write_for_ever(void *seed, unsigned index)
{
    uint64_t random = *(uint64_t *)seed + index;
    do {
        if (tt_random(&random) % 4 == 0)
            write_many(&random);
        else
            write_one(&random);
    } while (write(STDOUT_FILENO, "+", 1) == 1);
    return 1;
}

/* What main() does in the other process. */
static int commit(const char *crime, const char *url, const char *number)
{
    uint64_t seed = strtoull(number, NULL, 10);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    open_on(url);
    if (strcmp(crime, "large") == 0)
        return write_large();
    if (strcmp(crime, "storm") == 0)
        return tt_crew_join(tt_crew_start(WRITERS, write_for_ever, &seed));
    for (size_t i = 0; i < TC_ARRAY_LEN(deaths); i++)
        if (strcmp(crime, deaths[i].name) == 0)
            return load_and_die(i);
    return EXIT_FAILURE;
}

/* ---- the other process, as its parent sees it ---- */

struct other {
    pid_t pid;
    int from; /* its standard output */
};

static struct other start(const char *crime, const char *url, uint64_t seed)
{
    struct other o;
    int ends[2];
    char number[24];
    posix_spawn_file_actions_t actions;
    snprintf(number, sizeof number, "%llu", (unsigned long long)seed);
    const char *argv[] = { "test_crash", crime, url, number, NULL };
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO), 0);
    assert_int_equal(posix_spawn(&o.pid, "/proc/self/exe", &actions, NULL, (char *const *)argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    o.from = ends[0];
    return o;
}

static void await_bytes(struct other *o, size_t n)
{
    char bytes[256];
    while (n > 0) {
        ssize_t got = read(o->from, bytes, n < sizeof bytes ? n : sizeof bytes);
        if (got <= 0)
            fail_msg("the other process does not work");
        n -= (size_t)got;
    }
}

static int await_end(struct other *o)
{
    int status;
    assert_int_equal(waitpid(o->pid, &status, 0), o->pid);
    close(o->from);
    return status;
}

static void kill_it(struct other *o)
{
    assert_int_equal(kill(o->pid, SIGKILL), 0);
    int status = await_end(o);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* ---- who comes after it ---- */

static void assert_all_is_sound(void)
{
    struct cache_stats st = tt_cache_stats(&b);
    assert_int_equal(st.l2_bad_frames, 0);
    assert_int_equal(st.l2_wrong_key, 0);
    assert_int_equal(st.l2_failed + st.l2_skipped, 0);
}

/* FAULTS 46 */
static void a_loader_that_ends_its_process_leaves_nothing_in_l2(void **state)
{
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(deaths); i++) {
        struct tt_redis *server = tt_redis_start(TT_REDIS_UNIX);
        struct cache_key k;
        struct tt_loader l;
        struct other o = start(deaths[i].name, tt_redis_url(server), 0);
        int status = await_end(&o);
        if (deaths[i].signal != 0)
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == deaths[i].signal);
        else
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STATUS);
        tt_assert_soon(tt_redis_seen(server).open == 0);
        assert_int_equal(tt_redis_count(server, "GET"), 1); /* it came as far as its loader */
        assert_int_equal(tt_redis_keys(server), 0);

        /* Nothing keeps the key for one who is gone. */
        open_on(tt_redis_url(server));
        tt_loader_init(&l, "loaded");
        assert_answer(tt_cache_get(&b, make_key(&k, 1)), CACHE_MISS, NULL);
        int64_t began_ms = tt_ran_ms();
        assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_OK, "loaded");
        assert_true(tt_ran_ms() - began_ms <= TT_SLACK_MS);
        assert_int_equal(atomic_load(&l.calls), 1);
        assert_all_is_sound();
        tt_loader_fini(&l);
        assert_true(tt_cache_close(&b));
        tt_redis_stop(server);
    }
}

/* FAULTS 46: the server reads so slowly that the process dies long before its SET is through. */
static void a_set_that_is_cut_by_the_end_of_its_process_does_not_happen(void **state)
{
    (void)state;
    for (int with_old = 0; with_old < 2; with_old++) {
        struct tt_redis *server = tt_redis_start(TT_REDIS_UNIX);
        struct cache_key k;
        open_on(tt_redis_url(server));
        if (with_old)
            assert_int_equal(tt_cache_set(&b, make_key(&k, 1), "old"), CACHE_OK);
        assert_int_equal(cache_clear_local(b.c), CACHE_OK);
        tt_redis_read_at_most(server, 64);
        uint64_t before = tt_redis_seen(server).bytes;
        struct other o = start("large", tt_redis_url(server), 0);
        tt_assert_soon(tt_redis_seen(server).bytes - before > 4096);
        kill_it(&o);
        tt_redis_read_at_most(server, SIZE_MAX);
        tt_assert_soon(tt_redis_seen(server).open == 1);
        assert_int_equal(tt_redis_seen(server).torn, 1);
        assert_int_equal(tt_redis_count(server, "SET"), with_old);
        assert_answer(tt_cache_get(&b, make_key(&k, 1)), with_old ? CACHE_OK : CACHE_MISS, with_old ? "old" : NULL);
        assert_all_is_sound();
        assert_true(tt_cache_close(&b));
        tt_redis_stop(server);
    }
}

/* How many keys have a value. */
static unsigned look_at_every_key(void)
{
    unsigned found = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        struct cache_key k;
        struct cache_value v;
        int status = cache_get(b.c, make_key(&k, key), NULL, &v);
        assert_true(status == CACHE_OK || status == CACHE_MISS);
        if (status == CACHE_OK && !is_whole(key, v.data, v.len))
            fail_msg("the value of key %llu is not whole", (unsigned long long)key);
        found += status == CACHE_OK;
        cache_value_release(&v);
    }
    return found;
}

static void kill_in_the_middle_of_much(const char *url)
{
    uint64_t seed = tt_seed();
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t its_seed = tt_random(&seed);
        struct other o = start("storm", url, its_seed);
        await_bytes(&o, 20 + tt_random(&seed) % 200);
        kill_it(&o);
        open_on(url);
        assert_true(look_at_every_key() > 0);
        assert_all_is_sound();
        assert_true(tt_cache_close(&b));
    }
}

/* FAULTS 46 */
static void killed_in_the_middle_of_many_writes_it_leaves_only_whole_values(void **state)
{
    (void)state;
    struct tt_redis *server = tt_redis_start(TT_REDIS_UNIX);
    kill_in_the_middle_of_much(tt_redis_url(server));
    tt_redis_stop(server);
}

/* FAULTS 46 */
static void killed_in_the_middle_of_many_writes_it_leaves_only_whole_values_in_a_real_server(void **state)
{
    (void)state;
    struct tt_redis_server *server = tt_redis_server_start(false, NULL);
    if (server == NULL)
        skip(); /* the server's support printed why */
    kill_in_the_middle_of_much(tt_redis_server_url(server));
    tt_redis_server_free(server);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loader_that_ends_its_process_leaves_nothing_in_l2),
        cmocka_unit_test(a_set_that_is_cut_by_the_end_of_its_process_does_not_happen),
        cmocka_unit_test(killed_in_the_middle_of_many_writes_it_leaves_only_whole_values),
        cmocka_unit_test(killed_in_the_middle_of_many_writes_it_leaves_only_whole_values_in_a_real_server),
    };
    if (argc == 4)
        return commit(argv[1], argv[2], argv[3]);
    return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
