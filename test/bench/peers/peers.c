/* Which peers this build has. The Makefile leaves out those whose package is not installed. */
#include <stdio.h>

#include "peers/peer.h"

size_t tt_peers(const struct tt_peer *out[TT_PEERS_MAX])
{
    size_t n = 0;
    out[n++] = &tt_peer_uthash_mutex;
    out[n++] = &tt_peer_uthash_sharded;
#ifdef TT_HAVE_GLIB
    out[n++] = &tt_peer_glib;
#else
    printf("left out: GLib (Debian: libglib2.0-dev)\n");
#endif
#ifdef TT_HAVE_TBB
    out[n++] = &tt_peer_tbb_map;
    out[n++] = &tt_peer_tbb_lru;
#else
    printf("left out: oneTBB (Debian: libtbb-dev and g++)\n");
#endif
#ifdef TT_HAVE_CK
    out[n++] = &tt_peer_ck;
#else
    printf("left out: Concurrency Kit (Debian: libck-dev)\n");
#endif
#ifdef TT_HAVE_URCU
    out[n++] = &tt_peer_urcu;
#else
    printf("left out: liburcu (Debian: liburcu-dev)\n");
#endif
    return n;
}
