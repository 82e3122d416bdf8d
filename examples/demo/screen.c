/* screen.c - see screen.h. */
#include "screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

enum { LIVE_MS = 250, PLAIN_MS = 1000, BAR = 60 };

void screen_init(struct screen *sc, int plain)
{
    const char *term = getenv("TERM");
    memset(sc, 0, sizeof *sc);
    sc->live = !plain && isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
    sc->start_ns = sc->at_ns = now_ns();
    if (!sc->live)
        setvbuf(stdout, NULL, _IOLBF, 0);
}

static double elapsed(const struct screen *sc)
{
    return (double)(now_ns() - sc->start_ns) / 1e9;
}

void screen_note(struct screen *sc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sc->note, sizeof sc->note, fmt, ap);
    va_end(ap);
    printf("[%5.1f s] %s\n", elapsed(sc), sc->note);
    fflush(stdout);
    sc->next_ns = 0;
}

/* One character for each share of the answers: # L1, + L2, ~ stale, . origin. */
static void bar(const struct phase_sum *sum, char out[BAR + 1])
{
    static const char marks[SOURCES] = {'#', '+', '~', '.', '.'};
    int at = 0;
    uint64_t seen = 0;
    for (int from = 0; from < SOURCES; from++) {
        seen += sum->from[from];
        int end = sum->answers ? (int)((double)seen / (double)sum->answers * BAR + 0.5) : 0;
        while (at < end && at < BAR)
            out[at++] = marks[from];
    }
    out[at] = '\0';
}

static void draw_phase(const struct shared *s, enum phase p, enum phase now)
{
    struct phase_sum sum;
    char b[BAR + 1];
    report_sum_phase(s, p, &sum);
    bar(&sum, b);
    printf("%c %-18s %-*s", p == now ? '>' : ' ', report_phase_name(p), BAR, b);
    if (sum.answers)
        printf(" %5.1f %%", report_share(sum.answers - sum.from[FROM_ORIGIN] - sum.from[FROM_JOINED], sum.answers));
    printf("\033[K\n");
}

static void draw_latency(const char *name, const struct latency *l)
{
    if (latency_count(l))
        printf("  %-10s p50 %8.1f us   p99 %8.1f us\033[K\n", name, (double)latency_quantile(l, 0.5) / 1e3,
               (double)latency_quantile(l, 0.99) / 1e3);
    else
        printf("  %-10s -\033[K\n", name);
}

static void draw_live(const struct screen *sc, const struct shared *s, const struct changes *ch, double rate)
{
    struct phase_sum sum;
    enum phase now = (enum phase)atomic_load(&s->phase);
    report_sum_phase(s, now, &sum);
    printf("\033[Hlibtiercache demo   %.1f s   %.0f requests/s\033[K\n  %s\033[K\n\033[K\n", elapsed(sc), rate,
           sc->note);
    printf("  answers from: # L1   + L2 (Redis)   ~ L1, flagged stale   . SQLite            not from SQLite\033[K\n");
    for (enum phase p = PHASE_UNIFORM; p < PHASES; p++)
        draw_phase(s, p, now);
    printf("\033[K\n");
    draw_latency("L1 hit", &sum.latency[FROM_L1]);
    draw_latency("L2 hit", &sum.latency[FROM_L2]);
    draw_latency("stale", &sum.latency[FROM_STALE]);
    draw_latency("origin", &sum.origin);
    printf("\033[K\n");
    for (uint32_t i = 0; i < s->workers; i++)
        printf("  worker %u   L1 %.1f of %.1f MB, %llu pages   Redis %s, %llu invalidations wait\033[K\n", i,
               (double)atomic_load(&s->worker[i].l1_bytes) / 1e6, (double)s->l1_bytes / 1e6,
               (unsigned long long)atomic_load(&s->worker[i].l1_entries),
               atomic_load(&s->worker[i].l2_out) ? "OUT" : "up",
               (unsigned long long)atomic_load(&s->worker[i].recovery_pending));
    printf("  changes    %u made, %u acknowledged, %u wait     wrong answers %llu\033[K\n\033[J",
           atomic_load(&s->n_changes), ch->through, changes_open_count(ch),
           (unsigned long long)report_wrong(s, WRONG_NOT));
    fflush(stdout);
}

static void print_line(const struct screen *sc, const struct shared *s, const struct changes *ch, double rate)
{
    struct phase_sum sum;
    enum phase now = (enum phase)atomic_load(&s->phase);
    report_sum_phase(s, now, &sum);
    printf("[%5.1f s] %-17s %6.0f req/s  L1 %4.1f %%  L2 %4.1f %%  stale %4.1f %%  origin %4.1f %%  "
           "cached p99 %.2f ms  changes %u (%u wait)  wrong %llu%s\n",
           elapsed(sc), report_phase_name(now), rate, report_share(sum.from[FROM_L1], sum.answers),
           report_share(sum.from[FROM_L2], sum.answers), report_share(sum.from[FROM_STALE], sum.answers),
           report_share(sum.from[FROM_ORIGIN] + sum.from[FROM_JOINED], sum.answers),
           (double)latency_quantile(&sum.cached, 0.99) / 1e6, atomic_load(&s->n_changes), changes_open_count(ch),
           (unsigned long long)report_wrong(s, WRONG_NOT), report_l2_out(s) ? "  REDIS OUT" : "");
}

void screen_tick(struct screen *sc, const struct shared *s, const struct changes *ch)
{
    int64_t now = now_ns();
    if (now < sc->next_ns)
        return;
    if (sc->live && sc->next_ns == 0)
        printf("\033[H\033[J");
    sc->next_ns = now + (sc->live ? LIVE_MS : PLAIN_MS) * INT64_C(1000000);

    struct phase_sum sum;
    enum phase phase = (enum phase)atomic_load(&s->phase);
    report_sum_phase(s, phase, &sum);
    int same = phase == sc->phase && sum.answers >= sc->answers;
    double seconds = (double)(now - sc->at_ns) / 1e9;
    double rate = same && seconds > 0 ? (double)(sum.answers - sc->answers) / seconds : 0;
    sc->phase = phase;
    sc->answers = sum.answers;
    sc->at_ns = now;
    if (sc->live)
        draw_live(sc, s, ch, rate);
    else if (same)
        print_line(sc, s, ch, rate);
}

void screen_end(struct screen *sc)
{
    if (sc->live)
        printf("\n");
    fflush(stdout);
    sc->live = 0;
}
