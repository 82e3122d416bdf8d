/* Memory by whole pages out of regions of 2 MiB from the system, which the system may back by one huge page each: for
 * pages of entries and for tables, where malloc would lose some of it between them. From any thread. */
#ifndef TC_BASE_REGIONS_H
#define TC_BASE_REGIONS_H

#include <stdbool.h>
#include <stddef.h>

struct tc_regions;

/* huge: asks for huge pages. NULL when out of memory. */
struct tc_regions *tc_regions_open(bool huge);
/* From here on nothing is taken, and what is given back stays resident: close gives it to the system at once, whole
 * regions. r may be NULL. */
void tc_regions_end(struct tc_regions *r);
/* All has been given back. r may be NULL. */
void tc_regions_close(struct tc_regions *r);
/* n bytes that begin on a page; not zeroed. NULL when out of memory. */
void *tc_regions_take(struct tc_regions *r, size_t n);
void tc_regions_give(struct tc_regions *r, void *p, size_t n); /* n as taken */
bool tc_regions_are_huge(const struct tc_regions *r);
size_t tc_regions_bytes(struct tc_regions *r); /* had from the system */

#endif
