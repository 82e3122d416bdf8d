/* Incremental scanner of RESP2 replies: finds where a reply ends, and refuses what no Redis sends or what is too big.
 * It keeps no byte and allocates nothing; what it lets through is legal for hiredis's reader. */
#ifndef TC_TIER_REDIS_RESP_H
#define TC_TIER_REDIS_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TC_RESP_DEPTH_MAX 7         /* of nested arrays: as much as hiredis 0.14 takes */
#define TC_RESP_LINE_MAX_BYTES 8192 /* of a status, error or number, without CR LF */
#define TC_RESP_STRING_MAX_BYTES (UINT64_C(512) << 20) /* as long as Redis lets a value become */

struct tc_resp_limits {
    uint64_t max_bulk_bytes;  /* of one string */
    uint64_t max_total_bytes; /* of one reply, everything counted */
    uint64_t max_elements;    /* of all arrays of one reply together */
    uint64_t body_min_bytes;  /* a reply that is a string of this size or more makes a TC_RESP_BODY; > 0 */
};

enum tc_resp_state {
    TC_RESP_MORE, /* the reply goes on after the bytes given */
    TC_RESP_DONE, /* the reply ends with the last byte used */
    TC_RESP_BODY, /* the next body_left bytes are the string that this reply is: scan them, or skip them */
    TC_RESP_BAD   /* not RESP2, or beyond a limit; reason says why; for ever */
};

struct tc_resp {
    struct tc_resp_limits limits;
    const char *reason; /* static; set with TC_RESP_BAD */
    uint64_t body_left; /* bytes of the current string that have not been seen */
    uint64_t total;     /* bytes of this reply so far, those of an announced string included */
    uint64_t elements;  /* announced by the arrays of this reply */
    uint64_t number;    /* being read */
    uint32_t line_len;
    int step;
    char type; /* of the element being read */
    bool negative;
    int depth;
    uint64_t left[TC_RESP_DEPTH_MAX]; /* elements still to come, by depth */
};

void tc_resp_init(struct tc_resp *s, const struct tc_resp_limits *limits);

/* Scans up to n bytes and stops at the end of a reply. *used says how many were scanned; after TC_RESP_DONE the next
 * byte begins a new reply. Linear in the bytes scanned, however they are cut. */
enum tc_resp_state tc_resp_scan(struct tc_resp *s, const char *p, size_t n, size_t *used);

/* Takes n bytes of the current string, n <= body_left, as scanned. */
void tc_resp_skip(struct tc_resp *s, uint64_t n);

/* True between replies. */
bool tc_resp_idle(const struct tc_resp *s);

#endif
