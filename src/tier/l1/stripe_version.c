/* Versions go round. A reader without the lock knows by its version that what he copied was not overwritten meanwhile;
 * so within the time for which he may be at it no entry may come back to a version that it had. Nor does one have to
 * leave its cell because versions are used up.
 *
 * The way round has four quarters. Where the second and the fourth of them begin there is a bar, and at least one of
 * the two is down: no entry passes it, what comes there is stored in another cell. When it is time the other one comes
 * down too, and when all those who were reading at that moment are through, the first one is lifted. So whoever sees a
 * version sees it while a bar is down, and to come back to it the entry has to pass both. If the other bar was up, the
 * first one is lifted when this reader is through, and not before. If both were down, the entry may pass the one that
 * is lifted; but before the other one is lifted, the first one comes down once more, and this reader is waited for.
 *
 * Bars are passed with the lock held, and so are the beginnings of the other quarters, since those tell when it is
 * time: when a third as many entries as there are, or TC_VERSIONS_CAME_MOST, have come to the quarter before the bar that
 * is down. They have a quarter left then, 64 values, and entries that leave in turn never come to a bar that is down;
 * where values are replaced as it happens one in one or two thousand does, and where few of the entries are replaced and
 * others are not, one in two hundred (docs/decisions/027-versions-go-round.md). A thread that is alone lifts bars itself.
 *
 * New entries begin with the quarter behind the bar that came down last: in the middle of those that are there. */
#include "tier/l1/overwrite.h"

enum { OTHER_BAR = 2 }; /* by so many quarters they are apart */
/* Of so many questions whether a bar can be lifted one wants a step or a look, which concern all readers. */
#define POLLS 32

uint32_t tc_stripe_first_version(const struct tc_stripe *s)
{
    return (s->versions.bar + 1) << TC_ENTRY_QUARTER_SHIFT; /* the highest bits: behind the last quarter is the first */
}

static uint32_t next_quarter(uint32_t refs)
{
    return ((refs >> TC_ENTRY_QUARTER_SHIFT) + 1) % 4;
}

static bool is_down(const struct tc_versions *v, uint32_t quarter)
{
    return quarter == v->bar || (v->both && quarter == (v->bar ^ OTHER_BAR));
}

static void lower_other(struct tc_stripe *s)
{
    struct tc_versions *v = &s->versions;
    v->bar ^= OTHER_BAR;
    v->both = true;
    v->came = v->polls = 0;
    v->epoch = tc_readers_epoch(&s->l1->readers);
}

/* Lifts the bar that was down first, if nobody reads any more who did when the other one came down. */
static void lift(struct tc_stripe *s)
{
    struct tc_versions *v = &s->versions;
    struct tc_readers *r = &s->l1->readers;
    if (tc_readers_passed(r, v->epoch))
        v->both = false;
    else if (v->polls++ % POLLS == 0)
        tc_limbo_want(s->l1, tc_readers_stepped(r, v->epoch) ? TC_WANTS_LOOK : TC_WANTS_STEP);
}

/* Nobody else reads, nor did. */
static void lift_alone(struct tc_stripe *s)
{
    if (!s->versions.both)
        lower_other(s);
    s->versions.both = false;
}

bool tc_stripe_try_quarter(struct tc_stripe *s, uint32_t refs)
{
    tc_lock_assert_held(&s->lock);
    uint32_t quarter = next_quarter(refs);
    if (s->versions.both)
        lift(s);
    while (is_down(&s->versions, quarter) && tc_readers_alone(&s->l1->readers))
        lift_alone(s);
    return !is_down(&s->versions, quarter);
}

/* Not more than what comes soon if few of the entries are replaced and all others are not; nor so few that there would be
 * steps all the time: some nanoseconds for each value. */
static uint32_t enough(const struct tc_stripe *s)
{
    uint32_t n = s->index.count / 3;
    n = n < TC_VERSIONS_CAME_MOST ? n : TC_VERSIONS_CAME_MOST;
    return n > TC_VERSIONS_CAME_LEAST ? n : TC_VERSIONS_CAME_LEAST;
}

void tc_stripe_begin_quarter(struct tc_stripe *s, uint32_t refs)
{
    tc_lock_assert_held(&s->lock);
    struct tc_versions *v = &s->versions;
    tc_assert(!is_down(v, next_quarter(refs)));
    if (!v->both && next_quarter(refs) + 1 == v->bar && ++v->came > enough(s))
        lower_other(s);
}
