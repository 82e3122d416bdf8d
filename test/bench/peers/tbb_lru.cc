/* oneTBB: concurrent_lru_cache. It makes missing values itself and cannot replace one, so it takes part where values
 * are only read, or read through. */
#define TBB_PREVIEW_CONCURRENT_LRU_CACHE 1
#include "peers/tbb_key.hh"

#include <new>
#include <oneapi/tbb/concurrent_lru_cache.h>
#include <string>

namespace {

/* Whether this thread's look-up had to make the value. */
thread_local bool made;

struct maker {
    std::size_t value_bytes;
    std::string operator()(const tbb_key &k) const
    {
        std::string v(value_bytes, '\0');
        tt_bench_value_fill(reinterpret_cast<unsigned char *>(&v[0]), value_bytes, tt_bench_key_id(&k));
        made = true;
        return v;
    }
};

using lru = tbb::concurrent_lru_cache<tbb_key, std::string, maker>;

void *open_lru(std::size_t max_entries, std::size_t value_bytes)
{
    return new (std::nothrow) lru(maker{value_bytes}, max_entries);
}

void close_lru(void *p)
{
    delete static_cast<lru *>(p);
}

tt_answer get(void *p, const tt_bench_key *k, void *buf)
{
    made = false;
    lru::handle h = (*static_cast<lru *>(p))[tbb_key(*k)];
    std::memcpy(buf, h.value().data(), h.value().size());
    return made ? TT_DONE : TT_HIT;
}

/* To fill it before the contest. */
tt_answer set(void *p, const tt_bench_key *k, const void *, std::size_t)
{
    (*static_cast<lru *>(p))[tbb_key(*k)];
    return TT_DONE;
}

tt_peer describe()
{
    tt_peer p = {};
    p.name = "TBB concurrent_lru_cache";
    p.can = TT_PEER_EVICTS | TT_PEER_LOADS;
    p.open = open_lru;
    p.close = close_lru;
    p.get = get;
    p.set = set;
    return p;
}

} // namespace

extern "C" const tt_peer tt_peer_tbb_lru = describe();
