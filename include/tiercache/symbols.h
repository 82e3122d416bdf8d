/* tiercache/symbols.h - visibility of the public functions, and the way out for a program that already has a
 * cache_get() or a struct cache of its own.
 *
 * Such a program builds the library with "make SYMBOL_PREFIX=foo_": every public function, struct tag and function
 * type then begins with foo_, in the library and, through -DTIERCACHE_PREFIX=foo_ in tiercache.pc, in its users. The
 * program may go on writing cache_get() for ours where these headers are included, or foo_cache_get(). Without
 * TIERCACHE_PREFIX nothing is renamed. test/check_symbols.sh compares the list with the headers. */
#ifndef TIERCACHE_SYMBOLS_H
#define TIERCACHE_SYMBOLS_H

#if defined(__GNUC__) || defined(__clang__)
#define TIERCACHE_API __attribute__((visibility("default")))
#else
#define TIERCACHE_API
#endif

#ifdef TIERCACHE_PREFIX
#define TIERCACHE_PASTE_(a, b) a##b
#define TIERCACHE_PASTE(a, b) TIERCACHE_PASTE_(a, b)
#define TIERCACHE_NAME(name) TIERCACHE_PASTE(TIERCACHE_PREFIX, name)

#define cache TIERCACHE_NAME(cache)
#define cache_alloc_ops TIERCACHE_NAME(cache_alloc_ops)
#define cache_backend_attach_fn TIERCACHE_NAME(cache_backend_attach_fn)
#define cache_backend_close_fn TIERCACHE_NAME(cache_backend_close_fn)
#define cache_backend_del_fn TIERCACHE_NAME(cache_backend_del_fn)
#define cache_backend_forked_fn TIERCACHE_NAME(cache_backend_forked_fn)
#define cache_backend_get_fn TIERCACHE_NAME(cache_backend_get_fn)
#define cache_backend_health_fn TIERCACHE_NAME(cache_backend_health_fn)
#define cache_backend_host TIERCACHE_NAME(cache_backend_host)
#define cache_backend_item TIERCACHE_NAME(cache_backend_item)
#define cache_backend_maintain_fn TIERCACHE_NAME(cache_backend_maintain_fn)
#define cache_backend_many_fn TIERCACHE_NAME(cache_backend_many_fn)
#define cache_backend_ops TIERCACHE_NAME(cache_backend_ops)
#define cache_backend_set_fn TIERCACHE_NAME(cache_backend_set_fn)
#define cache_backend_stats TIERCACHE_NAME(cache_backend_stats)
#define cache_backend_stats_fn TIERCACHE_NAME(cache_backend_stats_fn)
#define cache_backend_value TIERCACHE_NAME(cache_backend_value)
#define cache_call TIERCACHE_NAME(cache_call)
#define cache_clear_local TIERCACHE_NAME(cache_clear_local)
#define cache_clock_ops TIERCACHE_NAME(cache_clock_ops)
#define cache_close TIERCACHE_NAME(cache_close)
#define cache_event TIERCACHE_NAME(cache_event)
#define cache_event_ops TIERCACHE_NAME(cache_event_ops)
#define cache_evict_ops TIERCACHE_NAME(cache_evict_ops)
#define cache_fetch TIERCACHE_NAME(cache_fetch)
#define cache_fetch_opts TIERCACHE_NAME(cache_fetch_opts)
#define cache_get TIERCACHE_NAME(cache_get)
#define cache_get_copy TIERCACHE_NAME(cache_get_copy)
#define cache_get_many TIERCACHE_NAME(cache_get_many)
#define cache_invalidate TIERCACHE_NAME(cache_invalidate)
#define cache_invalidate_many TIERCACHE_NAME(cache_invalidate_many)
#define cache_item TIERCACHE_NAME(cache_item)
#define cache_key TIERCACHE_NAME(cache_key)
#define cache_key_append TIERCACHE_NAME(cache_key_append)
#define cache_key_bytes TIERCACHE_NAME(cache_key_bytes)
#define cache_key_encoder_ops TIERCACHE_NAME(cache_key_encoder_ops)
#define cache_key_fini TIERCACHE_NAME(cache_key_fini)
#define cache_key_i64 TIERCACHE_NAME(cache_key_i64)
#define cache_key_init TIERCACHE_NAME(cache_key_init)
#define cache_key_status TIERCACHE_NAME(cache_key_status)
#define cache_key_str TIERCACHE_NAME(cache_key_str)
#define cache_key_text TIERCACHE_NAME(cache_key_text)
#define cache_key_u64 TIERCACHE_NAME(cache_key_u64)
#define cache_load TIERCACHE_NAME(cache_load)
#define cache_load_absent TIERCACHE_NAME(cache_load_absent)
#define cache_load_buffer TIERCACHE_NAME(cache_load_buffer)
#define cache_load_fn TIERCACHE_NAME(cache_load_fn)
#define cache_load_remaining_ms TIERCACHE_NAME(cache_load_remaining_ms)
#define cache_load_reply TIERCACHE_NAME(cache_load_reply)
#define cache_load_ttl TIERCACHE_NAME(cache_load_ttl)
#define cache_log_ops TIERCACHE_NAME(cache_log_ops)
#define cache_meta TIERCACHE_NAME(cache_meta)
#define cache_open TIERCACHE_NAME(cache_open)
#define cache_opts TIERCACHE_NAME(cache_opts)
#define cache_opts_from_env TIERCACHE_NAME(cache_opts_from_env)
#define cache_set TIERCACHE_NAME(cache_set)
#define cache_set_absent TIERCACHE_NAME(cache_set_absent)
#define cache_set_many TIERCACHE_NAME(cache_set_many)
#define cache_set_opts TIERCACHE_NAME(cache_set_opts)
#define cache_slice TIERCACHE_NAME(cache_slice)
#define cache_stat TIERCACHE_NAME(cache_stat)
#define cache_stats TIERCACHE_NAME(cache_stats)
#define cache_stats_push TIERCACHE_NAME(cache_stats_push)
#define cache_stats_read TIERCACHE_NAME(cache_stats_read)
#define cache_stats_sink_ops TIERCACHE_NAME(cache_stats_sink_ops)
#define cache_stats_text TIERCACHE_NAME(cache_stats_text)
#define cache_status_text TIERCACHE_NAME(cache_status_text)
#define cache_ticket TIERCACHE_NAME(cache_ticket)
#define cache_ttl TIERCACHE_NAME(cache_ttl)
#define cache_ttl_ops TIERCACHE_NAME(cache_ttl_ops)
#define cache_ttl_view TIERCACHE_NAME(cache_ttl_view)
#define cache_type TIERCACHE_NAME(cache_type)
#define cache_type_check TIERCACHE_NAME(cache_type_check)
#define cache_type_find TIERCACHE_NAME(cache_type_find)
#define cache_type_opts TIERCACHE_NAME(cache_type_opts)
#define cache_type_register TIERCACHE_NAME(cache_type_register)
#define cache_type_update TIERCACHE_NAME(cache_type_update)
#define cache_value TIERCACHE_NAME(cache_value)
#define cache_value_release TIERCACHE_NAME(cache_value_release)
#define cache_version TIERCACHE_NAME(cache_version)
#endif

#endif
