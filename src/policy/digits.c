/* Numbers as decimal digits: the table of pairs, and numbers of any length. */
#include "policy/digits.h"

#define PAIR(tens, ones) { '0' + (tens), '0' + (ones) }
#define PAIRS(tens)                                                                                                   \
    PAIR(tens, 0), PAIR(tens, 1), PAIR(tens, 2), PAIR(tens, 3), PAIR(tens, 4), PAIR(tens, 5), PAIR(tens, 6),           \
        PAIR(tens, 7), PAIR(tens, 8), PAIR(tens, 9)
const char tc_digits_pairs[100][2] = { PAIRS(0), PAIRS(1), PAIRS(2), PAIRS(3), PAIRS(4),
                                       PAIRS(5), PAIRS(6), PAIRS(7), PAIRS(8), PAIRS(9) };

char *tc_digits_put(char *end, uint64_t v)
{
    for (; v >= 100; v /= 100) {
        end -= 2;
        memcpy(end, tc_digits_pairs[v % 100], 2);
    }
    if (v < 10) {
        *--end = tc_digits_pairs[v][1];
        return end;
    }
    end -= 2;
    memcpy(end, tc_digits_pairs[v], 2);
    return end;
}
