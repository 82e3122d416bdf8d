/* Numbers as decimal digits, two at a time from a table. */
#ifndef TC_POLICY_DIGITS_H
#define TC_POLICY_DIGITS_H

#include <stdint.h>
#include <string.h>

extern const char tc_digits_pairs[100][2];

static inline uint64_t tc_digits_pair(uint32_t v)
{
    uint16_t pair;
    memcpy(&pair, tc_digits_pairs[v], sizeof pair);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    pair = __builtin_bswap16(pair);
#endif
    return pair;
}

/* Of a number of up to eight, all eight, with zeros that lead; the first one is the lowest byte. In a register: who
 * reads a word of what was written by bytes waits. The four pairs come from divisions that do not wait for each other,
 * since whoever builds a key is about to look it up, and the look-up waits for the digits. */
static inline uint64_t tc_digits_eight(uint32_t v)
{
    uint32_t millions = v / 1000000, myriads = v / 10000, hundreds = v / 100;
    return tc_digits_pair(millions) | tc_digits_pair(myriads - 100 * millions) << 16 |
           tc_digits_pair(hundreds - 100 * myriads) << 32 | tc_digits_pair(v - 100 * hundreds) << 48;
}

/* Any number's, up to twenty, from the last ones on. Returns where they begin. */
char *tc_digits_put(char *end, uint64_t v);

#endif
