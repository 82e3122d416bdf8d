/* Keys for oneTBB's containers: the plain struct, so that a look-up copies nothing to the heap. */
#ifndef TT_BENCH_TBB_KEY_HH
#define TT_BENCH_TBB_KEY_HH

#include <cstddef>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

extern "C" {
#include "peers/peer.h"
}

struct tbb_key : tt_bench_key {
    explicit tbb_key(const tt_bench_key &k) : tt_bench_key(k) {}
    bool operator==(const tbb_key &o) const { return len == o.len && std::memcmp(text, o.text, len) == 0; }
    bool operator<(const tbb_key &o) const
    {
        return len != o.len ? len < o.len : std::memcmp(text, o.text, len) < 0;
    }
};

struct tbb_key_hash {
    static std::size_t hash(const tbb_key &k) { return XXH3_64bits(k.text, k.len); }
    static bool equal(const tbb_key &a, const tbb_key &b) { return a == b; }
};

#endif
