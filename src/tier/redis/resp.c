/* Scanner of RESP2 replies, one state machine fed byte by byte; the bytes of strings are skipped in one step.
 *
 * hiredis's reader accepts a string without CR LF after it, waits for ever (and buffers) for a string of 2^63 bytes,
 * and spends seconds and gigabytes on "*2147483647\r\n". So it only gets to see replies that were found complete,
 * legal and bounded here. Numbers are as strict as Redis writes them: no '+', no leading zeros, no "-0". */
#include "tier/redis/resp.h"

#include <string.h>

enum step { STEP_TYPE, STEP_LINE, STEP_NUMBER, STEP_LINE_LF, STEP_NUMBER_LF, STEP_BODY, STEP_BODY_CR, STEP_BODY_LF,
            STEP_BAD };

void tc_resp_init(struct tc_resp *s, const struct tc_resp_limits *limits)
{
    memset(s, 0, sizeof *s);
    s->limits = *limits;
    s->step = STEP_TYPE;
}

bool tc_resp_idle(const struct tc_resp *s)
{
    return s->step == STEP_TYPE && s->total == 0;
}

void tc_resp_skip(struct tc_resp *s, uint64_t n)
{
    s->body_left -= n;
    if (s->body_left == 0)
        s->step = STEP_BODY_CR;
}

static enum tc_resp_state bad(struct tc_resp *s, const char *reason)
{
    s->step = STEP_BAD;
    s->reason = reason;
    return TC_RESP_BAD;
}

/* An element that is no array, or an array without elements, is complete: so may be those around it. */
static enum tc_resp_state end_element(struct tc_resp *s)
{
    s->step = STEP_TYPE;
    while (s->depth > 0) {
        if (--s->left[s->depth - 1] > 0)
            return TC_RESP_MORE;
        s->depth--;
    }
    s->total = 0;
    s->elements = 0;
    return TC_RESP_DONE;
}

static enum tc_resp_state begin_element(struct tc_resp *s, char c)
{
    s->type = c;
    s->line_len = 0;
    s->number = 0;
    s->negative = false;
    switch (c) {
    case '+':
    case '-':
        s->step = STEP_LINE;
        return TC_RESP_MORE;
    case ':':
    case '$':
    case '*':
        s->step = STEP_NUMBER;
        return TC_RESP_MORE;
    default:
        return bad(s, "a reply begins with a byte that is no RESP2 type");
    }
}

static enum tc_resp_state take_digit(struct tc_resp *s, char c)
{
    bool first = s->line_len == (s->negative ? 1u : 0u);
    if (c == '-' && s->line_len == 0) {
        s->negative = true;
        s->line_len = 1;
        return TC_RESP_MORE;
    }
    if (c == '\r' && !first) {
        s->step = STEP_NUMBER_LF;
        return TC_RESP_MORE;
    }
    if (c < '0' || c > '9')
        return bad(s, "a number contains a byte that is no digit");
    if (first ? (c == '0' && s->negative) : s->number == 0)
        return bad(s, "a number has a leading zero");
    uint64_t digit = (uint64_t)(c - '0'), most = (uint64_t)INT64_MAX + (s->negative ? 1 : 0);
    if (s->number > (most - digit) / 10)
        return bad(s, "a number does not fit 64 bits");
    s->number = s->number * 10 + digit;
    s->line_len++;
    return TC_RESP_MORE;
}

static enum tc_resp_state begin_string(struct tc_resp *s)
{
    if (s->negative)
        return s->number == 1 ? end_element(s) : bad(s, "a string has a negative length");
    if (s->number > s->limits.max_bulk_bytes)
        return bad(s, "a string is longer than allowed");
    if (s->total > s->limits.max_total_bytes || s->number > s->limits.max_total_bytes - s->total)
        return bad(s, "a reply is longer than allowed");
    s->total += s->number;
    s->body_left = s->number;
    s->step = s->number > 0 ? STEP_BODY : STEP_BODY_CR;
    return s->depth == 0 && s->number >= s->limits.body_min_bytes ? TC_RESP_BODY : TC_RESP_MORE;
}

static enum tc_resp_state begin_array(struct tc_resp *s)
{
    if (s->negative)
        return s->number == 1 ? end_element(s) : bad(s, "an array has a negative length");
    if (s->number == 0)
        return end_element(s);
    if (s->depth == TC_RESP_DEPTH_MAX)
        return bad(s, "arrays are nested too deep");
    if (s->number > s->limits.max_elements - s->elements)
        return bad(s, "a reply has more elements than allowed");
    s->elements += s->number;
    s->left[s->depth++] = s->number;
    s->step = STEP_TYPE;
    return TC_RESP_MORE;
}

/* CR LF came after a number. */
static enum tc_resp_state end_number(struct tc_resp *s)
{
    switch (s->type) {
    case '$':
        return begin_string(s);
    case '*':
        return begin_array(s);
    default:
        return end_element(s);
    }
}

static enum tc_resp_state step(struct tc_resp *s, char c)
{
    switch ((enum step)s->step) {
    case STEP_TYPE:
        return begin_element(s, c);
    case STEP_LINE:
        if (c == '\r') {
            s->step = STEP_LINE_LF;
            return TC_RESP_MORE;
        }
        if (c == '\n')
            return bad(s, "a line ends without CR");
        return ++s->line_len > TC_RESP_LINE_MAX_BYTES ? bad(s, "a line is too long") : TC_RESP_MORE;
    case STEP_NUMBER:
        return take_digit(s, c);
    case STEP_LINE_LF:
        return c == '\n' ? end_element(s) : bad(s, "CR without LF in a line");
    case STEP_NUMBER_LF:
        return c == '\n' ? end_number(s) : bad(s, "CR without LF after a number");
    case STEP_BODY_CR:
        s->step = STEP_BODY_LF;
        return c == '\r' ? TC_RESP_MORE : bad(s, "no CR LF after a string");
    case STEP_BODY_LF:
        return c == '\n' ? end_element(s) : bad(s, "no CR LF after a string");
    case STEP_BODY:
    case STEP_BAD:
        break;
    }
    return TC_RESP_BAD;
}

enum tc_resp_state tc_resp_scan(struct tc_resp *s, const char *p, size_t n, size_t *used)
{
    size_t i = 0;
    enum tc_resp_state state = s->step == STEP_BAD ? TC_RESP_BAD : TC_RESP_MORE;
    while (i < n && state == TC_RESP_MORE) {
        if (s->step == STEP_BODY) {
            uint64_t skip = n - i < s->body_left ? n - i : s->body_left;
            tc_resp_skip(s, skip);
            i += skip;
            continue;
        }
        if (++s->total > s->limits.max_total_bytes) {
            state = bad(s, "a reply is longer than allowed");
            break;
        }
        state = step(s, p[i++]);
    }
    *used = i;
    return state;
}
