/* oneTBB: concurrent_hash_map, a lock for each entry and each bucket. It has no limit and evicts nothing. */
#include "peers/tbb_key.hh"

#include <new>
#include <oneapi/tbb/concurrent_hash_map.h>
#include <string>

namespace {

using table = tbb::concurrent_hash_map<tbb_key, std::string, tbb_key_hash>;

void *open_table(std::size_t max_entries, std::size_t)
{
    return new (std::nothrow) table(max_entries);
}

void close_table(void *p)
{
    delete static_cast<table *>(p);
}

tt_answer get(void *p, const tt_bench_key *k, void *buf)
{
    table::const_accessor found;
    if (!static_cast<table *>(p)->find(found, tbb_key(*k)))
        return TT_WRONG;
    std::memcpy(buf, found->second.data(), found->second.size());
    return TT_HIT;
}

tt_answer set(void *p, const tt_bench_key *k, const void *value, std::size_t len)
{
    table::accessor at;
    static_cast<table *>(p)->insert(at, tbb_key(*k));
    at->second.assign(static_cast<const char *>(value), len);
    return TT_DONE;
}

tt_peer describe()
{
    tt_peer p = {};
    p.name = "TBB concurrent_hash_map";
    p.can = TT_PEER_SETS;
    p.open = open_table;
    p.close = close_table;
    p.get = get;
    p.set = set;
    return p;
}

} // namespace

extern "C" const tt_peer tt_peer_tbb_map = describe();
