/* Pages, their cells, and the two maps.
 *
 * A free cell holds where the next free one of its page is, in its first two bytes. A free place of a map holds the
 * next free place, as an odd number. */
#include <string.h>

#include "base/slab_page.h"

size_t tc_slab_round_coarse(size_t n)
{
    return bytes_of_class(tc_slab_coarse_class(n));
}

unsigned tc_slab_coarse_class(size_t n)
{
    tc_assert(n <= TC_SLAB_MOST);
    unsigned cells = (unsigned)ROOM / (unsigned)((n + TC_CELL_UNIT - 1) / TC_CELL_UNIT * TC_CELL_UNIT);
    return FINE_CLASSES + 1 + MANY_CELLS - cells;
}

unsigned tc_slab_cells_of_page(unsigned class)
{
    return cells_of_class(class);
}

/* ---- maps ---- */

#define LINE_PLACES (TC_CACHELINE / sizeof(char *))
#define FIRST_LINES 1
#define APART_MOST TC_CELL_PLACE

static size_t lines_of(const struct tc_map *m)
{
    return m->n / LINE_PLACES;
}

static size_t grown_lines(const struct tc_map *m)
{
    size_t lines = lines_of(m);
    return lines > 0 ? lines + (lines < 8 ? lines : lines / 4) : FIRST_LINES;
}

/* What is free in a map of addresses, which are even. */
static bool is_free(const char *place)
{
    return ((uintptr_t)place & 1) != 0;
}

static bool is_full(const struct tc_map *m)
{
    return m->free == 0 && m->fresh >= m->n;
}

static uint64_t growth_to(const struct tc_map *m, size_t lines)
{
    return tc_block_heap_bytes(lines) - (m->n > 0 ? tc_block_heap_bytes(lines_of(m)) : 0);
}

static uint64_t map_growth(const struct tc_map *m)
{
    return is_full(m) ? growth_to(m, grown_lines(m)) : 0;
}

static bool grow(struct tc_slab *s, struct tc_map *m, size_t lines, struct tc_block **before)
{
    uint64_t growth = growth_to(m, lines);
    struct tc_block *b = tc_block_open(s->alloc, lines);
    if (b == NULL)
        return false;
    if (m->n > 0) {
        memcpy(tc_block_lines(b), places(m), m->n * sizeof(char *));
        *before = tc_block_of(places(m));
    } else {
        m->fresh = 1; /* 0 is no page's number */
    }
    m->n = (uint32_t)(b->n * LINE_PLACES);
    s->bytes += growth;
    atomic_store_explicit(m->at, tc_block_lines(b), memory_order_release);
    return true;
}

/* False: there is no place and no memory or number for more; nothing has changed. */
static bool make_place(struct tc_slab *s, struct tc_map *m, uint32_t most, struct tc_block **before)
{
    if (m->free > 0)
        return true;
    return m->fresh < most && (!is_full(m) || grow(s, m, grown_lines(m), before));
}

/* A place for p; the map is not full. */
static uint32_t place(struct tc_map *m, void *p)
{
    uint32_t i = m->free;
    if (i > 0)
        m->free = (uint32_t)((uintptr_t)places(m)[i] >> 1);
    else
        i = m->fresh++;
    places(m)[i] = p;
    return i;
}

static void free_place(struct tc_map *m, uint32_t i)
{
    tc_assert(!is_free(places(m)[i]));
    places(m)[i] = (char *)((uintptr_t)m->free << 1 | 1);
    m->free = i;
}

static void close_map(struct tc_slab *s, struct tc_map *m)
{
    if (m->n == 0)
        return;
    tc_block_close(s->alloc, tc_block_of(places(m)));
    atomic_store_explicit(m->at, NULL, memory_order_relaxed);
}

/* ---- pages ---- */

static struct page *open_page(struct tc_slab *s, unsigned class, struct tc_block **before)
{
    struct page *p = tc_alloc_pages(s->alloc, TC_PAGE_BYTES);
    if (p == NULL)
        return NULL;
    if (!make_place(s, &s->pages, TC_SLAB_PAGES_MOST, before)) { /* the last that can fail: it cannot be taken back */
        tc_free_pages(s->alloc, p, TC_PAGE_BYTES);
        return NULL;
    }
    *p = (struct page){ .number = place(&s->pages, p), .class = (uint16_t)class,
                        .units = (uint16_t)(bytes_of_class(class) / TC_CELL_UNIT),
                        .cells = (uint16_t)cells_of_class(class), .fresh = HEAD / TC_CELL_UNIT };
    HIDE((char *)p + HEAD, ROOM);
    s->bytes += tc_heap_bytes(TC_PAGE_BYTES);
    s->pages_of[class]++;
    count_free(s, p, p->cells);
    link_page(s, p);
    return p;
}

static void close_page(struct tc_slab *s, struct page *p)
{
    s->bytes -= tc_heap_bytes(TC_PAGE_BYTES);
    s->pages_of[p->class]--;
    free_place(&s->pages, p->number);
    SHOW((char *)p + HEAD, ROOM);
    tc_free_pages(s->alloc, p, TC_PAGE_BYTES);
}

/* One of the page's free cells; there is one. */
static uint16_t pop(struct page *p)
{
    size_t bytes = p->units * (size_t)TC_CELL_UNIT;
    uint16_t at = p->free;
    if (at == 0) {
        at = p->fresh;
        p->fresh = (uint16_t)(at + p->units);
        SHOW(cell_at(p, at), bytes);
    } else {
        SHOW(cell_at(p, at), bytes);
        memcpy(&p->free, cell_at(p, at), sizeof p->free);
    }
    p->taken++;
    return at;
}

static void push(struct page *p, uint16_t at)
{
    memcpy(cell_at(p, at), &p->free, sizeof p->free);
    HIDE(cell_at(p, at), p->units * (size_t)TC_CELL_UNIT);
    p->free = at;
    p->taken--;
}

/* ---- cells ---- */

void tc_slab_init(struct tc_slab *s, struct tc_cells *cells, const struct tc_alloc *alloc)
{
    *s = (struct tc_slab){ .alloc = alloc, .pages.at = &cells->pages, .apart.at = &cells->apart };
}

void tc_slab_fini(struct tc_slab *s)
{
    for (uint32_t i = 1; i < s->pages.fresh; i++) {
        char *p = places(&s->pages)[i];
        if (!is_free(p)) {
            SHOW(p, TC_PAGE_BYTES);
            tc_free_pages(s->alloc, p, TC_PAGE_BYTES);
        }
    }
    close_map(s, &s->pages);
    close_map(s, &s->apart);
    *s = (struct tc_slab){ .alloc = s->alloc, .pages.at = s->pages.at, .apart.at = s->apart.at };
}

bool tc_slab_has_number(const struct tc_slab *s, size_t n)
{
    return s->pages.fresh < TC_SLAB_PAGES_MOST || s->pages.free > 0 || s->partial[tc_slab_class(n)] > 0;
}

uint64_t tc_slab_take_growth(const struct tc_slab *s, size_t n)
{
    return s->partial[tc_slab_class(n)] > 0 ? 0 : tc_heap_bytes(TC_PAGE_BYTES) + map_growth(&s->pages);
}

uint64_t tc_slab_adopt_growth(const struct tc_slab *s)
{
    return map_growth(&s->apart);
}

static size_t lines_for(size_t n)
{
    return (n + LINE_PLACES) / LINE_PLACES; /* and place 0 */
}

uint64_t tc_slab_reserve_growth(const struct tc_slab *s, size_t n)
{
    return lines_for(n) > lines_of(&s->apart) ? growth_to(&s->apart, lines_for(n)) : 0;
}

void tc_slab_reserve(struct tc_slab *s, size_t n, struct tc_block **before)
{
    if (n < APART_MOST && lines_for(n) > lines_of(&s->apart))
        grow(s, &s->apart, lines_for(n), before);
}

uint32_t tc_slab_take(struct tc_slab *s, size_t n, struct tc_block **before)
{
    unsigned class = tc_slab_class(n);
    struct page *p = s->partial[class] > 0 ? page_at(s, s->partial[class]) : open_page(s, class, before);
    if (p == NULL)
        return 0;
    uint16_t at = pop(p);
    count_free(s, p, -1);
    if (p->taken == p->cells)
        unlink_page(s, p);
    return p->number << TC_CELL_OFFSET_BITS | at;
}

size_t tc_slab_cell_bytes(const struct tc_slab *s, uint32_t cell)
{
    return page_at(s, cell >> TC_CELL_OFFSET_BITS)->units * (size_t)TC_CELL_UNIT;
}

uint32_t tc_slab_adopt(struct tc_slab *s, void *p, struct tc_block **before)
{
    if (!make_place(s, &s->apart, APART_MOST, before))
        return 0;
    return place(&s->apart, p) | TC_CELL_APART;
}

void tc_slab_give(struct tc_slab *s, uint32_t cell)
{
    if (cell & TC_CELL_APART) {
        free_place(&s->apart, cell & TC_CELL_PLACE);
        return;
    }
    struct page *p = page_at(s, cell >> TC_CELL_OFFSET_BITS);
    if (!p->closing && p->taken == p->cells)
        link_page(s, p);
    push(p, (uint16_t)(cell & TC_CELL_OFFSET_MOST));
    if (!p->closing)
        count_free(s, p, 1);
    if (p->taken > 0)
        return;
    if (!p->closing)
        retire(s, p);
    close_page(s, p);
}

/* ---- check ---- */

/* SIZE_MAX: the list of its free cells does not end. */
static size_t free_in(struct page *p)
{
    size_t n = (TC_PAGE_BYTES - p->fresh * (size_t)TC_CELL_UNIT) / (p->units * (size_t)TC_CELL_UNIT);
    for (uint16_t at = p->free; at != 0; at = next_free(p, at), n++)
        if (n >= p->cells)
            return SIZE_MAX;
    return n;
}

/* The list of a map's free places has all of them, once each. */
static bool map_is_right(const struct tc_map *m)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i < m->fresh; i++)
        n += is_free(places(m)[i]);
    for (uint32_t i = m->free; i > 0; i = (uint32_t)((uintptr_t)places(m)[i] >> 1))
        if (i >= m->fresh || !is_free(places(m)[i]) || n-- == 0)
            return false;
    return n == 0 && m->fresh <= m->n;
}

static bool pages_are_right(const struct tc_slab *s, uint64_t *bytes, uint64_t *free_bytes)
{
    uint16_t pages_of[TC_SLAB_CLASSES] = { 0 };
    for (uint32_t i = 1; i < s->pages.fresh; i++) {
        if (is_free(places(&s->pages)[i]))
            continue;
        struct page *p = page_at(s, i);
        size_t n = free_in(p), all = p->cells;
        pages_of[p->class]++;
        if (p->number != i || p->taken == 0 || n > all || n + p->taken != all ||
            p->kept > p->taken || (p->closing && p->kept > 0))
            return false;
        *bytes += tc_heap_bytes(TC_PAGE_BYTES);
        *free_bytes += p->closing ? 0 : n * p->units * (uint64_t)TC_CELL_UNIT;
    }
    return memcmp(pages_of, s->pages_of, sizeof pages_of) == 0;
}

/* Those with free cells, each linked both ways, and no others. */
static bool list_is_right(const struct tc_slab *s, unsigned class)
{
    size_t n = 0;
    for (uint32_t at = s->partial[class], previous = 0; at > 0; previous = at, at = page_at(s, at)->next) {
        if (at >= s->pages.fresh || is_free(places(&s->pages)[at]))
            return false;
        struct page *p = page_at(s, at);
        size_t its = free_in(p);
        if (p->class != class || p->previous != previous || p->closing || its == 0)
            return false;
        n += its;
    }
    return n == s->free_cells[class];
}

static bool has_page_free(const struct tc_slab *s, unsigned class)
{
    return class > 0 && s->free_cells[class] >= cells_of_class(class);
}

bool tc_slab_check(const struct tc_slab *s)
{
    uint64_t bytes = 0, free_bytes = 0;
    const struct tc_map *maps[] = { &s->pages, &s->apart };
    for (size_t i = 0; i < TC_ARRAY_LEN(maps); i++) {
        bytes += maps[i]->n > 0 ? tc_block_heap_bytes(lines_of(maps[i])) : 0;
        if (!map_is_right(maps[i]))
            return false;
    }
    if (!pages_are_right(s, &bytes, &free_bytes))
        return false;
    for (unsigned class = 0; class < TC_SLAB_CLASSES; class++)
        if (!list_is_right(s, class) || (s->sparse >> class & 1) != has_page_free(s, class))
            return false;
    return bytes == s->bytes && free_bytes == s->free_bytes;
}
