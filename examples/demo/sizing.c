/* sizing.c - see sizing.h.
 *
 * L1's limit is 5 % and the library counts every byte of overhead against it. Redis counts differently: maxmemory also
 * covers what the empty server takes, its tables, each key and the frame around each page, and the allocator's
 * rounding. So that L2 holds 30 % of the page bytes, maxmemory = what the empty server takes + 30 % x the factor
 * between the memory that Redis takes for a sample of entries stored through the library and the bytes of their
 * pages. */
#include "sizing.h"

#include <stdio.h>
#include <string.h>

#include "page.h"

enum { EVERY = 8, SAMPLE = 2000, L1_MIN_BYTES = 65536 };

int sizing_measure(struct sizing *z, const struct demo *d)
{
    struct page_reader r;
    struct text page = {0};
    uint64_t bytes = 0, pages = 0;
    memset(z, 0, sizeof *z);
    int rc = page_reader_open(&r, d->shared->db_path);
    for (uint32_t i = 0; i < d->catalogue.n && rc == 0; i += EVERY) {
        rc = page_render(&r, d->catalogue.names[i], &page);
        bytes += page.len;
        pages++;
    }
    page_reader_close(&r);
    text_fini(&page);
    if (rc != 0)
        return -1;
    z->pages_bytes = (uint64_t)((double)bytes / (double)pages * d->catalogue.n);
    z->l1_bytes = z->pages_bytes * L1_PERCENT / 100;
    z->l2_bytes = z->pages_bytes * L2_PERCENT / 100;
    if (z->l1_bytes < L1_MIN_BYTES)
        z->l1_bytes = L1_MIN_BYTES;
    return 0;
}

/* Stores a sample evenly spread over the catalogue; returns the bytes of its pages, 0 on failure. */
static uint64_t store_sample(const struct demo *d, struct cache *cache, const struct cache_type *type)
{
    struct page_reader r;
    struct text page = {0};
    uint64_t bytes = 0;
    uint32_t step = d->catalogue.n / SAMPLE + 1;
    int rc = page_reader_open(&r, d->shared->db_path);
    for (uint32_t i = 0; i < d->catalogue.n && rc == 0; i += step) {
        struct cache_key k;
        rc = page_render(&r, d->catalogue.names[i], &page);
        cache_key_str(cache_key_init(&k, type), d->catalogue.names[i]);
        if (rc == 0)
            rc = cache_set(cache, &k, page.data, page.len, NULL);
        cache_key_fini(&k);
        bytes += page.len;
    }
    page_reader_close(&r);
    text_fini(&page);
    return rc == 0 ? bytes : 0;
}

int sizing_limit_l2(struct sizing *z, const struct demo *d, const struct server *server, struct cache *cache,
                    const struct cache_type *page)
{
    char reply[256], command[64];
    int64_t before = server_used_memory(server);
    uint64_t bytes = store_sample(d, cache, page);
    int64_t after = server_used_memory(server);
    if (before <= 0 || after <= before || bytes == 0)
        return -1;
    z->redis_factor = (double)(after - before) / (double)bytes;
    if (server_command(server, "FLUSHALL SYNC", reply, sizeof reply) != 0 || cache_clear_local(cache) != CACHE_OK)
        return -1;
    int64_t empty = server_used_memory(server);
    z->maxmemory = (uint64_t)empty + (uint64_t)((double)z->l2_bytes * z->redis_factor);
    snprintf(command, sizeof command, "CONFIG SET maxmemory %llu", (unsigned long long)z->maxmemory);
    return empty > 0 ? server_command(server, command, reply, sizeof reply) : -1;
}
