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
 * time: a bar is lifted when half as many entries as there are have come to the quarter before it. All others have a
 * quarter left then, 64 values, and entries that leave in turn never come to a bar that is down; where values are
 * replaced as it happens one in some thousands does (docs/decisions/027-versions-go-round.md).
 *
 * New entries begin with the quarter behind the bar that came down last: in the middle of those that are there. */
#include "tier/l1/overwrite.h"

enum { OTHER_BAR = 2 }; /* by so many quarters they are apart */

uint32_t tc_stripe_first_version(const struct tc_stripe *s)
{
    return (s->versions.bar + 1) << TC_ENTRY_QUARTER_SHIFT;
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
    v->asked = 0;
    v->epoch = tc_readers_epoch(&s->l1->readers);
}

/* Lifts the bar that was down first, if nobody reads any more who did when the other one came down. */
static void lift(struct tc_stripe *s)
{
    struct tc_versions *v = &s->versions;
    struct tc_readers *r = &s->l1->readers;
    if (tc_readers_alone(r) || tc_readers_passed(r, v->epoch))
        v->both = false;
    else
        tc_limbo_want(s->l1, tc_readers_stepped(r, v->epoch) ? TC_WANTS_LOOK : TC_WANTS_STEP);
}

bool tc_stripe_next_quarter(struct tc_stripe *s, uint32_t refs)
{
    tc_lock_assert_held(&s->lock);
    struct tc_versions *v = &s->versions;
    uint32_t quarter = ((refs >> TC_ENTRY_QUARTER_SHIFT) + 1) % 4;
    bool comes_to_bar = quarter == v->bar || quarter + 1 == v->bar;
    if (!v->both && comes_to_bar && ++v->asked > s->index.count / 2)
        lower_other(s);
    if (v->both)
        lift(s);
    return !is_down(v, quarter);
}
