/* Small things that every test needs: waiting for a condition, a crew of threads, a temporary directory, bytes, seeds.
 * Test support never fails half-way: out of memory or a refused system call ends the test program with a sentence. */
#ifndef TT_UTIL_H
#define TT_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- time ---- */

#define TT_SOON_MS 5000
/* How much later than its deadline a call may return because the machine is busy: little beside what hangs in these
 * tests would take. Sanitizers make everything several times slower. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define TT_SLACK_MS 2500
#else
#define TT_SLACK_MS 400
#endif

int64_t tt_mono_ms(void); /* CLOCK_MONOTONIC */
/* The same, less the time in which this thread was ready to run and had no processor: for checking on a loaded machine
 * that a call ends by its deadline. Only differences taken in one thread mean something. */
int64_t tt_ran_ms(void);

/* For loops that wait for a condition: yields for a moment. False once end_ms (of tt_mono_ms) has passed. */
bool tt_pause(int64_t end_ms);

/* Fails the test unless cond becomes true within TT_SOON_MS. For the test's own thread: fail_msg() is cmocka's. */
#define tt_assert_soon(cond)                                                           \
    do {                                                                               \
        int64_t tt_end_ms_ = tt_mono_ms() + TT_SOON_MS;                                \
        while (!(cond)) {                                                              \
            if (!tt_pause(tt_end_ms_))                                                 \
                fail_msg("not true within %d ms: %s", TT_SOON_MS, #cond);              \
        }                                                                              \
    } while (0)

/* ---- threads ---- */

/* Runs as one of several threads; index counts from 0. Returns how many checks failed (see TT_CHECK): cmocka's asserts
 * may be used by the test's own thread only. */
typedef int tt_crew_fn(void *arg, unsigned index);

struct tt_crew;

struct tt_crew *tt_crew_start(unsigned n, tt_crew_fn *fn, void *arg); /* none runs before all are there */
bool tt_crew_sleeps(struct tt_crew *c); /* all of them wait for something in the kernel at this moment */
int tt_crew_join(struct tt_crew *c); /* the sum of what they returned; ends the program if one hangs for a minute */

/* In a tt_crew_fn: says what failed, counts one failure in `failures` and goes on. */
#define TT_CHECK(failures, cond)                              \
    do {                                                      \
        if (!(cond)) {                                        \
            tt_say_failed(__FILE__, __LINE__, #cond);         \
            (failures)++;                                     \
        }                                                     \
    } while (0)
void tt_say_failed(const char *file, int line, const char *what);

/* ---- bytes ---- */

struct tt_buf {
    char *data;
    size_t len, cap;
};
void tt_buf_add(struct tt_buf *b, const void *p, size_t n);
void tt_buf_print(struct tt_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tt_buf_drop(struct tt_buf *b, size_t n); /* the first n bytes */
void tt_buf_free(struct tt_buf *b);           /* empty and usable again */

void *tt_xmalloc(size_t n);
void *tt_xcalloc(size_t n);
void *tt_xmemdup(const void *p, size_t n); /* p may be NULL if n is 0 */

/* Ends the program with a sentence. For what makes a test impossible, not for what it tests. */
void tt_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- random ---- */

uint64_t tt_seed(void);                /* $SEED or a new one; printed as SEED=... */
uint64_t tt_random(uint64_t *state);   /* next number; *state starts as a seed */

/* ---- directory and descriptors ---- */

/* A directory of this process, made at the first call, removed with its contents at exit. Short enough for sockets. */
const char *tt_temp_dir(void);
char *tt_temp_path(const char *suffix); /* a new name in it each time; caller frees */

unsigned tt_count_fds(void); /* descriptors that this process has open */

#endif
