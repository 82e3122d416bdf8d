/* A resolver that is slow, or fails, or gives many addresses: this program's own getaddrinfo() stands before libc's and
 * does as the tests say. Numeric hosts still go to libc's. Case 2 of docs/faults.md. */
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake/tt_cache.h"
#include "fake/tt_redis.h"
#include "fake/tt_util.h"
#include "platform/platform.h"

enum { TIMEOUT_MS = 2000, L2_TIMEOUT_MS = 100, CONNECT_MS = 300, ADDRESSES = 16, GIVES_UP_S = 20, FILLERS = 4 };

static struct tt_cache b;
static struct tt_redis *server;

/* ---- the resolver ---- */

static struct {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool hangs;         /* a look-up waits until this is false; for good would leave a failed test without an end */
    int error;          /* what a look-up returns, if not 0 */
    in_addr_t ips[ADDRESSES]; /* what it finds otherwise, each with the port it was asked for; in host order */
    size_t n_ips;
    unsigned lookups;   /* of names */
    unsigned waiting;   /* of these, those that hang now */
    unsigned lists;     /* given out and not yet freed */
    pid_t asker;        /* the thread that asked first, 0: nobody */
    unsigned strangers; /* look-ups by other threads */
} resolver = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* One allocation for each address, so that the sanitizer sees a list that is freed in part. */
struct found {
    struct addrinfo info;
    struct sockaddr_in at;
};

static char ours[] = "ours"; /* ai_canonname of what came from here and not from libc */

static void wait_while_it_hangs_locked(void)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += GIVES_UP_S;
    resolver.waiting++;
    while (resolver.hangs && pthread_cond_timedwait(&resolver.changed, &resolver.lock, &end) == 0)
        ;
    resolver.waiting--;
}

static struct addrinfo *list_addresses_locked(in_port_t port)
{
    struct addrinfo *first = NULL;
    for (size_t i = resolver.n_ips; i > 0; i--) {
        struct found *f = tt_xcalloc(sizeof *f);
        f->at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
        f->at.sin_addr.s_addr = htonl(resolver.ips[i - 1]);
        f->info = (struct addrinfo){ .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_addrlen = sizeof f->at };
        f->info.ai_addr = (struct sockaddr *)&f->at;
        f->info.ai_canonname = ours;
        f->info.ai_next = first;
        first = &f->info;
    }
    resolver.lists += first != NULL;
    return first;
}

static int look_up_locked(const char *port, struct addrinfo **out)
{
    pid_t me = gettid();
    resolver.lookups++;
    resolver.asker = resolver.asker != 0 ? resolver.asker : me;
    resolver.strangers += resolver.asker != me;
    wait_while_it_hangs_locked();
    if (resolver.error != 0)
        return resolver.error;
    *out = list_addresses_locked((in_port_t)strtoul(port, NULL, 10));
    return *out != NULL ? 0 : EAI_NONAME;
}

static void find_in_libc(const char *name, void *function)
{
    void *p = dlsym(RTLD_NEXT, name);
    if (p == NULL)
        tt_die("libc has no %s", name);
    memcpy(function, &p, sizeof p);
}

int getaddrinfo(const char *restrict host, const char *restrict port, const struct addrinfo *restrict hints,
                struct addrinfo **restrict out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (hints != NULL && hints->ai_flags & AI_NUMERICHOST) {
        find_in_libc("getaddrinfo", &real);
        return real(host, port, hints, out);
    }
    pthread_mutex_lock(&resolver.lock);
    int error = look_up_locked(port, out);
    pthread_mutex_unlock(&resolver.lock);
    return error;
}

void freeaddrinfo(struct addrinfo *list)
{
    void (*real)(struct addrinfo *);
    if (list == NULL || list->ai_canonname != ours) {
        find_in_libc("freeaddrinfo", &real);
        real(list);
        return;
    }
    for (struct addrinfo *i = list, *next; i != NULL; i = next) {
        next = i->ai_next;
        free(i);
    }
    pthread_mutex_lock(&resolver.lock);
    resolver.lists--;
    pthread_mutex_unlock(&resolver.lock);
}

/* ---- what the tests do with it ---- */

static void resolve_to(int error, const in_addr_t *ips, size_t n)
{
    pthread_mutex_lock(&resolver.lock);
    resolver.error = error;
    resolver.n_ips = n;
    for (size_t i = 0; i < n; i++)
        resolver.ips[i] = ips[i];
    pthread_mutex_unlock(&resolver.lock);
}

static void fail_with(int error)
{
    resolve_to(error, NULL, 0);
}

static void find_the_server(void)
{
    resolve_to(0, &(in_addr_t){ INADDR_LOOPBACK }, 1);
}

static void let_hang(bool hangs)
{
    pthread_mutex_lock(&resolver.lock);
    resolver.hangs = hangs;
    pthread_cond_broadcast(&resolver.changed);
    pthread_mutex_unlock(&resolver.lock);
}

static unsigned look(const unsigned *what)
{
    pthread_mutex_lock(&resolver.lock);
    unsigned n = *what;
    pthread_mutex_unlock(&resolver.lock);
    return n;
}

static void assert_only_the_worker_asks(void)
{
    char path[64], name[32] = "";
    pthread_mutex_lock(&resolver.lock);
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", (int)resolver.asker);
    pthread_mutex_unlock(&resolver.lock);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_non_null(fgets(name, sizeof name, f));
    fclose(f);
    assert_string_equal(name, "tiercache\n");
    assert_int_equal(look(&resolver.strangers), 0);
}

/* ---- a cache on a server that has a name ---- */

static int setup(void **state)
{
    (void)state;
    let_hang(false);
    find_the_server();
    pthread_mutex_lock(&resolver.lock);
    resolver.lookups = resolver.lists = resolver.strangers = 0;
    resolver.asker = 0;
    pthread_mutex_unlock(&resolver.lock);
    return 0;
}

static void prepare(void)
{
    static char url[80];
    server = tt_redis_start(TT_REDIS_TCP);
    snprintf(url, sizeof url, "redis://cache.example%s", strrchr(tt_redis_url(server), ':'));
    tt_cache_prepare(&b, false);
    b.opts.clock = NULL;
    b.opts.l2_url = url;
    b.opts.timeout_ms = TIMEOUT_MS;
    b.opts.l2_timeout_ms = L2_TIMEOUT_MS;
    b.opts.connect_timeout_ms = CONNECT_MS;
}

static void open_connected(void)
{
    prepare();
    b.opts.flags = CACHE_OPEN_REQUIRE_L2;
    tt_cache_open(&b);
    assert_int_equal(look(&resolver.lookups), 1);
}

/* Whose connection is gone, and whose worker sits in the resolver for the next one. */
static void open_and_lose(void)
{
    open_connected();
    let_hang(true);
    tt_redis_kick(server, false);
    struct cache_key k;
    cache_key_str(cache_key_init(&k, b.type), "whoever sees that it is gone");
    tt_assert_soon(tt_cache_get(&b, &k).status == CACHE_MISS && look(&resolver.waiting) == 1);
}

static void finish(void)
{
    assert_true(tt_cache_fini(&b));
    tt_redis_stop(server);
    assert_int_equal(look(&resolver.lists), 0);
}

static void close_and_finish(void)
{
    let_hang(false);
    assert_int_equal(cache_close(b.c, TT_SOON_MS), CACHE_OK);
    finish();
}

static struct cache_key *make_key(struct cache_key *k, const char *part)
{
    return cache_key_str(cache_key_init(k, b.type), part);
}

static void assert_l2_works(void)
{
    struct cache_key k;
    make_key(&k, "whether it works");
    tt_assert_soon(tt_cache_stats(&b).l2_state == CACHE_BACKEND_UP && tt_cache_set(&b, &k, "it does") == CACHE_OK);
    assert_int_equal(cache_clear_local(b.c), CACHE_OK);
    struct tt_answer a = tt_cache_get(&b, &k);
    assert_true(tt_answer_is(&a, CACHE_OK, "it does"));
    assert_int_equal(a.meta.tier, CACHE_TIER_L2);
}

/* What a call may take: so many of its steps may each find that L2 gives no answer. */
static void assert_in_time(int64_t began_ms, int steps)
{
    int64_t took_ms = tt_ran_ms() - began_ms;
    if (took_ms > steps * L2_TIMEOUT_MS + TT_SLACK_MS)
        fail_msg("took %lld ms", (long long)took_ms);
}

/* Every verb, while the worker waits in the resolver: what L1 has, what the loader gives, what is kept for later. */
static void assert_verbs_answer_in_time(const char *there)
{
    struct cache_key k;
    struct tt_loader l;
    tt_loader_init(&l, "loaded");

    int64_t began_ms = tt_ran_ms();
    if (there != NULL)
        assert_answer(tt_cache_get(&b, make_key(&k, there)), CACHE_OK, there);
    assert_in_time(began_ms, 0);

    began_ms = tt_ran_ms();
    struct tt_answer a = tt_cache_get(&b, make_key(&k, "nowhere"));
    assert_in_time(began_ms, 1);
    assert_true(tt_answer_is(&a, CACHE_MISS, NULL));
    assert_true(a.meta.flags & CACHE_META_L2_OUT);

    began_ms = tt_ran_ms();
    a = tt_cache_fetch(&b, make_key(&k, "to load"), &l);
    assert_in_time(began_ms, 2);
    assert_true(tt_answer_is(&a, CACHE_OK, "loaded"));
    assert_true(a.meta.flags & CACHE_META_L2_OUT);

    began_ms = tt_ran_ms();
    assert_int_equal(tt_cache_set(&b, make_key(&k, "written"), "new"), CACHE_QUEUED);
    assert_in_time(began_ms, 1);
    assert_answer(tt_cache_get(&b, &k), CACHE_OK, "new");

    began_ms = tt_ran_ms();
    assert_int_equal(cache_invalidate(b.c, make_key(&k, there != NULL ? there : "written"), NULL), CACHE_QUEUED);
    assert_in_time(began_ms, 1);
    assert_answer(tt_cache_get(&b, &k), CACHE_MISS, NULL);
    tt_loader_fini(&l);
}

/* ---- it hangs ---- */

/* FAULTS 2 */
static void a_resolver_that_hangs_from_the_start_keeps_nobody_but_the_worker(void **state)
{
    (void)state;
    prepare();
    let_hang(true);
    int64_t began_ms = tt_ran_ms();
    tt_cache_open(&b);
    int64_t took_ms = tt_ran_ms() - began_ms;
    assert_in_range(took_ms, CONNECT_MS - 1, CONNECT_MS + TT_SLACK_MS);
    assert_int_equal(look(&resolver.waiting), 1);
    assert_only_the_worker_asks();
    assert_verbs_answer_in_time(NULL);
    assert_int_equal(look(&resolver.lookups), 1);
    assert_int_equal(tt_redis_seen(server).connections, 0);
    let_hang(false);
    assert_l2_works();
    assert_only_the_worker_asks();
    close_and_finish();
}

/* FAULTS 2 */
static void a_resolver_that_hangs_when_the_connection_is_lost_keeps_nobody_but_the_worker(void **state)
{
    struct cache_key k;
    (void)state;
    open_connected();
    assert_int_equal(tt_cache_set(&b, make_key(&k, "known"), "known"), CACHE_OK);
    let_hang(true);
    tt_redis_kick(server, false);
    tt_assert_soon(tt_cache_get(&b, make_key(&k, "whoever sees it")).status == CACHE_MISS &&
                   look(&resolver.waiting) == 1);
    tt_assert_soon(tt_cache_told(&b, CACHE_EVENT_L2_DOWN) == 1); /* which does not wait for the resolver either */
    assert_only_the_worker_asks();
    assert_verbs_answer_in_time("known");
    assert_int_equal(look(&resolver.lookups), 2);
    let_hang(false);
    assert_l2_works();
    assert_true(tt_cache_await_replayed(&b));
    assert_answer(tt_cache_get(&b, make_key(&k, "known")), CACHE_MISS, NULL);
    assert_only_the_worker_asks();
    close_and_finish();
}

static int open_requiring_l2(void *arg, unsigned index)
{
    (void)index;
    *(int *)arg = tt_cache_try_open(&b);
    return 0;
}

/* FAULTS 2: that much it may wait, since without the look-up there is no answer; then it leaves nothing behind. */
static void opening_with_l2_required_ends_when_the_look_up_does(void **state)
{
    int rc = CACHE_OK;
    (void)state;
    prepare();
    let_hang(true);
    b.opts.flags = CACHE_OPEN_REQUIRE_L2;
    int64_t end_ms = tt_mono_ms() + CONNECT_MS;
    struct tt_crew *crew = tt_crew_start(1, open_requiring_l2, &rc);
    tt_assert_soon(look(&resolver.waiting) == 1 && tt_mono_ms() > end_ms);
    fail_with(EAI_AGAIN);
    let_hang(false);
    assert_int_equal(tt_crew_join(crew), 0);
    assert_true(rc == CACHE_E_TIMEOUT || rc == CACHE_E_UNAVAILABLE);
    assert_null(b.c);
    assert_true(b.err[0] != '\0');
    finish();
}

/* ---- closing while it hangs ---- */

static void assert_closed(void)
{
    struct cache_key k;
    struct tt_loader l;
    tt_loader_init(&l, "loaded");
    assert_answer(tt_cache_get(&b, make_key(&k, "x")), CACHE_E_CLOSED, NULL);
    assert_answer(tt_cache_fetch(&b, &k, &l), CACHE_E_CLOSED, NULL);
    assert_int_equal(tt_cache_set(&b, &k, "x"), CACHE_E_CLOSED);
    assert_int_equal(cache_invalidate(b.c, &k, NULL), CACHE_E_CLOSED);
    assert_int_equal(atomic_load(&l.calls), 0);
    tt_loader_fini(&l);
}

/* FAULTS 2: the time-out is what cache_close() waits, and l2_timeout_ms for the cache's thread. */
static void closing_does_not_wait_for_the_resolver(void **state)
{
    static const int64_t timeouts_ms[] = { 0, 2 * L2_TIMEOUT_MS };
    (void)state;
    for (size_t i = 0; i < 2 * TC_ARRAY_LEN(timeouts_ms); i++) {
        setup(NULL);
        if (i % 2 == 0) {
            open_and_lose();
        } else {
            prepare();
            let_hang(true);
            tt_cache_open(&b);
        }
        for (int again = 0; again < 2; again++) {
            int64_t began_ms = tt_ran_ms();
            assert_int_equal(cache_close(b.c, timeouts_ms[i / 2]), CACHE_BUSY);
            assert_true(tt_ran_ms() - began_ms <= timeouts_ms[i / 2] + L2_TIMEOUT_MS + TT_SLACK_MS);
            assert_int_equal(look(&resolver.waiting), 1);
            assert_closed();
        }
        let_hang(false);
        assert_int_equal(cache_close(b.c, TT_SOON_MS), CACHE_OK);
        assert_int_equal(tt_cache_told(&b, CACHE_EVENT_RECOVERY_ABANDONED), 0);
        finish();
    }
}

/* FAULTS 2 */
static void an_invalidation_that_waits_for_the_resolver_goes_out_before_the_cache_is_closed(void **state)
{
    struct cache_key k;
    (void)state;
    open_connected();
    assert_int_equal(tt_cache_set(&b, make_key(&k, "known"), "old"), CACHE_OK);
    assert_int_equal(tt_redis_keys(server), 1);
    let_hang(true);
    tt_redis_kick(server, false);
    tt_assert_soon(cache_invalidate(b.c, &k, NULL) == CACHE_QUEUED && look(&resolver.waiting) == 1);
    int64_t began_ms = tt_ran_ms();
    assert_int_equal(cache_close(b.c, L2_TIMEOUT_MS), CACHE_BUSY);
    assert_true(tt_ran_ms() - began_ms <= 2 * L2_TIMEOUT_MS + TT_SLACK_MS);
    assert_int_equal(tt_redis_keys(server), 1);
    let_hang(false);
    assert_int_equal(cache_close(b.c, TT_SOON_MS), CACHE_OK);
    assert_int_equal(tt_cache_told(&b, CACHE_EVENT_RECOVERY_ABANDONED), 0);
    assert_int_equal(tt_redis_keys(server), 0);
    finish();
}

/* ---- it fails ---- */

/* FAULTS 2 */
static void a_name_that_does_not_resolve_is_told_and_asked_for_again(void **state)
{
    (void)state;
    prepare();
    fail_with(EAI_NONAME);
    b.opts.flags = CACHE_OPEN_REQUIRE_L2;
    assert_int_equal(tt_cache_try_open(&b), CACHE_E_UNAVAILABLE);
    if (strstr(b.err, "cache.example") == NULL || strstr(b.err, "cannot be found") == NULL)
        fail_msg("\"%s\" does not say that the name was not found", b.err);
    assert_true(tt_cache_fini(&b));
    tt_redis_stop(server);

    setup(NULL);
    prepare();
    fail_with(EAI_AGAIN);
    tt_cache_open(&b);
    assert_int_not_equal(tt_cache_stats(&b).l2_state, CACHE_BACKEND_UP);
    tt_assert_soon(tt_cache_stats(&b).l2_err_connect >= 3 && look(&resolver.lookups) >= 3);
    assert_verbs_answer_in_time(NULL);
    find_the_server();
    assert_l2_works();
    assert_only_the_worker_asks();
    close_and_finish();
}

/* FAULTS 2 */
static void when_the_resolver_fails_the_last_good_addresses_serve(void **state)
{
    static const int errors[] = { EAI_NONAME, EAI_AGAIN, EAI_FAIL, EAI_MEMORY, EAI_SYSTEM };
    (void)state;
    open_connected();
    for (size_t i = 0; i < TC_ARRAY_LEN(errors); i++) {
        unsigned before = look(&resolver.lookups);
        fail_with(errors[i]);
        assert_l2_works(); /* over the connection that is there, so that this one has done its work */
        tt_redis_kick(server, i % 2 == 0);
        assert_l2_works();
        tt_assert_soon(tt_cache_stats(&b).l2_reconnects >= i + 1);
        assert_true(look(&resolver.lookups) > before);
    }
    close_and_finish();
}

/* ---- what it finds ---- */

/* FAULTS 2 */
static void numeric_addresses_and_paths_never_ask_it(void **state)
{
    static const enum tt_redis_net nets[] = { TT_REDIS_TCP, TT_REDIS_UNIX };
    (void)state;
    for (size_t i = 0; i < TC_ARRAY_LEN(nets); i++) {
        prepare();
        tt_redis_stop(server);
        server = tt_redis_start(nets[i]);
        b.opts.l2_url = tt_redis_url(server);
        b.opts.flags = CACHE_OPEN_REQUIRE_L2;
        let_hang(true);
        tt_cache_open(&b);
        assert_l2_works();
        tt_redis_kick(server, false);
        assert_l2_works();
        tt_assert_soon(tt_cache_stats(&b).l2_reconnects == 1);
        assert_int_equal(look(&resolver.lookups), 0);
        close_and_finish();
    }
}

/* A socket that listens and whose queue is full: a connect to it neither succeeds nor fails. */
static int dig_black_hole(in_addr_t ip, int *filler)
{
    const char *port = strrchr(tt_redis_url(server), ':') + 1;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((in_port_t)strtoul(port, NULL, 10)) };
    at.sin_addr.s_addr = htonl(ip);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 0) == 0);
    for (int i = 0; i < FILLERS; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(filler[i] >= 0);
        (void)connect(filler[i], (struct sockaddr *)&at, sizeof at);
    }
    return fd;
}

/* FAULTS 2, 3: in one attempt, of which each address has its share. */
static void all_addresses_of_a_name_are_tried(void **state)
{
    enum { BLACK_HOLE = ADDRESSES - 2, LIVE = ADDRESSES - 1 };
    in_addr_t ips[ADDRESSES];
    int filler[FILLERS];
    (void)state;
    prepare();
    for (size_t i = 0; i < BLACK_HOLE; i++)
        ips[i] = INADDR_LOOPBACK + 1 + (in_addr_t)i; /* 127.0.0.2 and so on, where nobody listens */
    ips[BLACK_HOLE] = INADDR_LOOPBACK + ADDRESSES;
    ips[LIVE] = INADDR_LOOPBACK;
    int hole = dig_black_hole(ips[BLACK_HOLE], filler);
    resolve_to(0, ips, ADDRESSES);
    b.opts.flags = CACHE_OPEN_REQUIRE_L2;
    b.opts.connect_timeout_ms = 4 * CONNECT_MS;
    int64_t began_ms = tt_ran_ms();
    tt_cache_open(&b);
    int64_t took_ms = tt_ran_ms() - began_ms;
    assert_true(took_ms >= CONNECT_MS); /* it did come through the black hole */
    assert_int_equal(look(&resolver.lookups), 1);
    assert_int_equal(tt_redis_seen(server).connections, 1);
    assert_l2_works();
    for (int i = 0; i < FILLERS; i++)
        close(filler[i]);
    close(hole);
    close_and_finish();
}

/* FAULTS 2 */
static void a_name_that_moves_is_followed(void **state)
{
    (void)state;
    prepare();
    resolve_to(0, &(in_addr_t){ INADDR_LOOPBACK + 1 }, 1);
    tt_cache_open(&b);
    tt_assert_soon(look(&resolver.lookups) >= 2);
    assert_int_equal(tt_redis_seen(server).connections, 0);
    find_the_server();
    assert_l2_works();
    close_and_finish();
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup(test, setup)
    const struct CMUnitTest tests[] = {
        FRESH(a_resolver_that_hangs_from_the_start_keeps_nobody_but_the_worker),
        FRESH(a_resolver_that_hangs_when_the_connection_is_lost_keeps_nobody_but_the_worker),
        FRESH(opening_with_l2_required_ends_when_the_look_up_does),
        FRESH(closing_does_not_wait_for_the_resolver),
        FRESH(an_invalidation_that_waits_for_the_resolver_goes_out_before_the_cache_is_closed),
        FRESH(a_name_that_does_not_resolve_is_told_and_asked_for_again),
        FRESH(when_the_resolver_fails_the_last_good_addresses_serve),
        FRESH(numeric_addresses_and_paths_never_ask_it),
        FRESH(all_addresses_of_a_name_are_tried),
        FRESH(a_name_that_moves_is_followed),
    };
    return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
