/* Answers and error texts are those of Redis 7 for the few commands it knows. */
#include "tt_redis_db.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_ARGS = 1 << 20, MAX_LINE = 32 };
#define MAX_BULK INT64_C(536870912)

/* ---- reading a command ---- */

/* Reads prefix, a number of 0 to max, CRLF. On TT_PARSED_COMMAND *at is behind it. */
static enum tt_redis_parsed parse_number(const char *p, size_t n, size_t *at, char prefix, int64_t max, int64_t *out)
{
    size_t i = *at;
    int64_t v = 0;
    if (i == n)
        return TT_PARSED_MORE;
    if (p[i++] != prefix)
        return TT_PARSED_BAD;
    size_t digits = i;
    for (; i < n && isdigit((unsigned char)p[i]) && i - digits < MAX_LINE; i++) {
        v = v * 10 + (p[i] - '0');
        if (v > max)
            return TT_PARSED_BAD;
    }
    if (i == n)
        return TT_PARSED_MORE;
    if (i == digits || p[i] != '\r')
        return TT_PARSED_BAD;
    if (i + 1 == n)
        return TT_PARSED_MORE;
    if (p[i + 1] != '\n')
        return TT_PARSED_BAD;
    *at = i + 2;
    *out = v;
    return TT_PARSED_COMMAND;
}

static enum tt_redis_parsed parse_bulk(const char *p, size_t n, size_t *at, struct cache_slice *out)
{
    int64_t len;
    enum tt_redis_parsed r = parse_number(p, n, at, '$', MAX_BULK, &len);
    if (r != TT_PARSED_COMMAND)
        return r;
    if (n - *at < (size_t)len + 2)
        return TT_PARSED_MORE;
    *out = (struct cache_slice){p + *at, (size_t)len};
    *at += (size_t)len + 2;
    return memcmp(p + *at - 2, "\r\n", 2) == 0 ? TT_PARSED_COMMAND : TT_PARSED_BAD;
}

static void copy_name(struct tt_redis_command *c)
{
    const char *p = c->argv[0].data;
    size_t n = c->argv[0].len < sizeof(c->name) - 1 ? c->argv[0].len : sizeof(c->name) - 1;
    for (size_t i = 0; i < n; i++)
        c->name[i] = (char)toupper((unsigned char)p[i]);
    c->name[n] = '\0';
}

enum tt_redis_parsed tt_redis_parse(const char *p, size_t n, struct tt_redis_command *c)
{
    int64_t argc;
    memset(c, 0, sizeof(*c));
    enum tt_redis_parsed r = parse_number(p, n, &c->size, '*', MAX_ARGS, &argc);
    if (r != TT_PARSED_COMMAND)
        return r;
    if (argc == 0)
        return TT_PARSED_BAD;
    c->argc = (size_t)argc;
    c->argv = tt_xmalloc(c->argc * sizeof(*c->argv));
    for (size_t i = 0; i < c->argc && r == TT_PARSED_COMMAND; i++)
        r = parse_bulk(p, n, &c->size, &c->argv[i]);
    if (r != TT_PARSED_COMMAND) {
        free(c->argv);
        c->argv = NULL;
        return r;
    }
    copy_name(c);
    return r;
}

/* ---- executing it ---- */

struct call {
    struct tt_redis_db *db;
    struct tt_redis_session *session;
    const struct tt_redis_command *c;
    struct tt_store *store;
    int64_t now_ms;
    struct tt_buf *reply;
};

static void reply_integer(struct call *k, int64_t v)
{
    tt_buf_print(k->reply, ":%lld\r\n", (long long)v);
}

static void reply_blob(struct call *k, struct tt_blob *blob)
{
    if (!blob) {
        tt_buf_print(k->reply, "$-1\r\n");
        return;
    }
    tt_buf_print(k->reply, "$%zu\r\n", blob->len);
    tt_buf_add(k->reply, blob->data, blob->len);
    tt_buf_add(k->reply, "\r\n", 2);
    tt_blob_release(blob);
}

static bool is_word(struct cache_slice s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.data, word, s.len) == 0;
}

static bool is_same(struct cache_slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static bool to_integer(struct cache_slice s, int64_t *out)
{
    char text[MAX_LINE], *end;
    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    *out = strtoll(text, &end, 10);
    return *end == '\0';
}

static void do_auth(struct call *k)
{
    const struct cache_slice *argv = k->c->argv;
    if (!k->db->password && k->c->argc == 2) {
        tt_buf_print(k->reply, "-ERR AUTH <password> called without any password configured for the default user. "
                               "Are you sure your configuration is correct?\r\n");
        return;
    }
    bool user_ok = k->c->argc == 2 ? strcmp(k->db->user, "default") == 0
                                   : is_same(argv[1], k->db->password ? k->db->user : "default");
    bool ok = user_ok && (!k->db->password || is_same(argv[k->c->argc - 1], k->db->password));
    k->session->authenticated = k->session->authenticated || ok;
    tt_buf_print(k->reply, ok ? "+OK\r\n" : "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
}

static void do_select(struct call *k)
{
    int64_t db;
    bool ok = to_integer(k->c->argv[1], &db) && db >= 0 && db < TT_REDIS_DBS;
    if (ok)
        k->session->db = (unsigned)db;
    tt_buf_print(k->reply, ok ? "+OK\r\n" : "-ERR DB index is out of range\r\n");
}

/* PING and ECHO: with an argument both give it back. */
static void do_ping(struct call *k)
{
    if (k->c->argc > 1)
        tt_buf_print(k->reply, "$%zu\r\n%.*s\r\n", k->c->argv[1].len, (int)k->c->argv[1].len,
                     (const char *)k->c->argv[1].data);
    else
        tt_buf_print(k->reply, "+PONG\r\n");
}

static void do_quit(struct call *k)
{
    k->session->quits = true;
    tt_buf_print(k->reply, "+OK\r\n");
}

static void do_get(struct call *k)
{
    reply_blob(k, tt_store_get(k->store, k->c->argv[1], k->now_ms, NULL));
}

static void do_mget(struct call *k)
{
    tt_buf_print(k->reply, "*%zu\r\n", k->c->argc - 1);
    for (size_t i = 1; i < k->c->argc; i++)
        reply_blob(k, tt_store_get(k->store, k->c->argv[i], k->now_ms, NULL));
}

static void do_set(struct call *k)
{
    const struct tt_redis_command *c = k->c;
    int64_t expires = TT_STORE_FOREVER, ttl;
    if (c->argc != 3 && !(c->argc == 5 && (is_word(c->argv[3], "PX") || is_word(c->argv[3], "EX")))) {
        tt_buf_print(k->reply, "-ERR syntax error\r\n");
        return;
    }
    if (c->argc == 5) {
        if (!to_integer(c->argv[4], &ttl)) {
            tt_buf_print(k->reply, "-ERR value is not an integer or out of range\r\n");
            return;
        }
        if (ttl <= 0) {
            tt_buf_print(k->reply, "-ERR invalid expire time in 'set' command\r\n");
            return;
        }
        expires = k->now_ms + (is_word(c->argv[3], "EX") ? ttl * 1000 : ttl);
    }
    tt_store_put(k->store, c->argv[1], c->argv[2], expires);
    tt_buf_print(k->reply, "+OK\r\n");
}

static void do_pttl(struct call *k)
{
    int64_t expires;
    struct tt_blob *blob = tt_store_get(k->store, k->c->argv[1], k->now_ms, &expires);
    int64_t left = !blob ? -2 : expires == TT_STORE_FOREVER ? -1 : expires - k->now_ms;
    tt_blob_release(blob);
    reply_integer(k, left);
}

static void do_del(struct call *k)
{
    int64_t n = 0;
    for (size_t i = 1; i < k->c->argc; i++)
        n += tt_store_del(k->store, k->c->argv[i], k->now_ms);
    reply_integer(k, n);
}

static void do_exists(struct call *k)
{
    int64_t n = 0;
    for (size_t i = 1; i < k->c->argc; i++) {
        struct tt_blob *blob = tt_store_get(k->store, k->c->argv[i], k->now_ms, NULL);
        n += blob != NULL;
        tt_blob_release(blob);
    }
    reply_integer(k, n);
}

static void do_flushall(struct call *k)
{
    for (size_t i = 0; i < TT_REDIS_DBS; i++)
        tt_store_clear(k->db->store[i]);
    tt_buf_print(k->reply, "+OK\r\n");
}

static void do_client(struct call *k)
{
    if (is_word(k->c->argv[1], "ID"))
        reply_integer(k, 1);
    else if (is_word(k->c->argv[1], "SETNAME"))
        tt_buf_print(k->reply, "+OK\r\n");
    else
        tt_buf_print(k->reply, "-ERR Unknown subcommand or wrong number of arguments. Try CLIENT HELP.\r\n");
}

static const struct known {
    const char *name;
    size_t min_args, max_args; /* the name included; 0 = no limit */
    bool touches_key, is_handshake;
    void (*run)(struct call *k);
} known_commands[] = {
    {"AUTH", 2, 3, false, true, do_auth},       {"SELECT", 2, 2, false, true, do_select},
    {"PING", 1, 2, false, true, do_ping},       {"ECHO", 2, 2, false, true, do_ping},
    {"CLIENT", 2, 0, false, true, do_client},   {"HELLO", 1, 0, false, true, NULL},
    {"QUIT", 1, 1, false, false, do_quit},      {"GET", 2, 2, true, false, do_get},
    {"MGET", 2, 0, true, false, do_mget},       {"SET", 3, 0, true, false, do_set},
    {"PTTL", 2, 2, true, false, do_pttl},       {"DEL", 2, 0, true, false, do_del},
    {"UNLINK", 2, 0, true, false, do_del},      {"EXISTS", 2, 0, true, false, do_exists},
    {"FLUSHALL", 1, 2, true, false, do_flushall},
};

static const struct known *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(known_commands) / sizeof(known_commands[0]); i++) {
        if (strcmp(name, known_commands[i].name) == 0)
            return &known_commands[i];
    }
    return NULL;
}

/* A command it does not know may well touch a key (EVAL). */
bool tt_redis_touches_key(const char *name)
{
    const struct known *known = find_command(name);
    return !known || known->touches_key;
}

bool tt_redis_is_handshake(const char *name)
{
    const struct known *known = find_command(name);
    return known && known->is_handshake;
}

void tt_redis_db_init(struct tt_redis_db *db)
{
    memset(db, 0, sizeof(*db));
    for (size_t i = 0; i < TT_REDIS_DBS; i++)
        db->store[i] = tt_store_new();
}

void tt_redis_db_fini(struct tt_redis_db *db)
{
    for (size_t i = 0; i < TT_REDIS_DBS; i++)
        tt_store_free(db->store[i]);
    free(db->user);
    free(db->password);
}

void tt_redis_execute(struct tt_redis_db *db, struct tt_redis_session *s, const struct tt_redis_command *c,
                      struct tt_buf *reply)
{
    const struct known *known = find_command(c->name);
    struct call k = {db, s, c, db->store[s->db], tt_mono_ms(), reply};
    if (!known || !known->run)
        tt_buf_print(reply, "-ERR unknown command '%s', with args beginning with: \r\n", c->name);
    else if (c->argc < known->min_args || (known->max_args && c->argc > known->max_args))
        tt_buf_print(reply, "-ERR wrong number of arguments for '%s' command\r\n", c->name);
    else if (db->password && !s->authenticated && known->run != do_auth && known->run != do_quit)
        tt_buf_print(reply, "-NOAUTH Authentication required.\r\n");
    else
        known->run(&k);
}
