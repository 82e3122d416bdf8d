/* Parser of Redis URLs.
 *
 * Strict, because a URL that is half understood connects to the wrong place or sends the wrong password. Every message
 * is a fixed sentence: where a password contains an unescaped '@', ':' or '/', what looks like the host or the port is
 * a piece of it. */
#include "tier/redis/url.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "tiercache.h"

#define DEFAULT_PORT 6379
#define MAX_URL_BYTES 8192
#define MAX_HOST_BYTES 255
#define MAX_UNIX_PATH_BYTES 107 /* what sockaddr_un takes, without its NUL */

struct span {
    const char *p;
    size_t n;
};

static struct span without_first(struct span s, size_t n)
{
    return (struct span){ s.p + n, s.n - n };
}

/* Splits s at the first c into what is before and after it. False: there is no c, neither is set. */
static bool split(struct span s, char c, struct span *before, struct span *rest)
{
    const char *at = memchr(s.p, c, s.n);
    if (at == NULL)
        return false;
    size_t n = (size_t)(at - s.p);
    *before = (struct span){ s.p, n };
    *rest = without_first(s, n + 1);
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static void free_secret(const struct tc_alloc *alloc, char *s)
{
    if (s == NULL)
        return;
    size_t n = strlen(s);
    explicit_bzero(s, n);
    tc_free(alloc, s, n + 1);
}

/* Decodes s into *out, whose size is exactly its length plus one, so that tc_strfree() frees what was allocated.
 * Returns CACHE_OK, CACHE_E_NOMEM, CACHE_E_INVALID with *why set. */
static int decode(struct span s, const struct tc_alloc *alloc, char **out, const char **why)
{
    const char *end = s.p + s.n;
    size_t n = 0;
    for (const char *p = s.p; p < end; p++, n++) {
        if (*p != '%')
            continue;
        if (end - p < 3 || hex_value(p[1]) < 0 || hex_value(p[2]) < 0) {
            *why = "a '%' is not followed by two hexadecimal digits (write a plain '%' as %25)";
            return CACHE_E_INVALID;
        }
        if (p[1] == '0' && p[2] == '0') {
            *why = "%00 is not allowed";
            return CACHE_E_INVALID;
        }
        p += 2;
    }
    char *d = tc_alloc(alloc, n + 1);
    if (d == NULL)
        return CACHE_E_NOMEM;
    *out = d;
    for (const char *p = s.p; p < end; p++) {
        if (*p != '%') {
            *d++ = *p;
            continue;
        }
        *d++ = (char)(hex_value(p[1]) * 16 + hex_value(p[2]));
        p += 2;
    }
    *d = '\0';
    return CACHE_OK;
}

/* A decimal number without sign and leading zeros. */
static bool parse_number(struct span s, long max, long *out)
{
    if (s.n == 0 || (*s.p == '0' && s.n > 1))
        return false;
    long v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (s.p[i] - '0');
        if (v > max)
            return false;
    }
    *out = v;
    return true;
}

static int parse_db(struct tc_redis_url *u, struct span s, const char **why)
{
    long db;
    if (!parse_number(s, INT_MAX, &db)) {
        *why = "the database is not a number";
        return CACHE_E_INVALID;
    }
    u->db = (int)db;
    return CACHE_OK;
}

static int parse_credentials(struct tc_redis_url *u, struct span s, const char **why)
{
    struct span user = s, password;
    bool has_password = split(s, ':', &user, &password);
    if (user.n == 0 && !has_password) {
        *why = "there is an '@' but no user or password before it";
        return CACHE_E_INVALID;
    }
    if (user.n > 0) {
        int status = decode(user, u->alloc, &u->user, why);
        if (status != CACHE_OK)
            return status;
    }
    return has_password ? decode(password, u->alloc, &u->password, why) : CACHE_OK;
}

static bool valid_host(struct span s, bool bracketed)
{
    if (s.n > MAX_HOST_BYTES)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool digit = c >= '0' && c <= '9';
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!digit && !letter && c != '.' && c != '-' && c != '_' && !(bracketed && (c == ':' || c == '%')))
            return false;
    }
    return true;
}

static int copy_span(struct span s, const struct tc_alloc *alloc, char **out)
{
    *out = tc_alloc(alloc, s.n + 1);
    if (*out == NULL)
        return CACHE_E_NOMEM;
    memcpy(*out, s.p, s.n);
    (*out)[s.n] = '\0';
    return CACHE_OK;
}

static int parse_host_port(struct tc_redis_url *u, struct span s, const char **why)
{
    struct span host = s, port = { NULL, 0 };
    bool has_port, bracketed = s.n > 0 && *s.p == '[';
    if (bracketed) {
        struct span rest;
        if (!split(without_first(s, 1), ']', &host, &rest) || (rest.n > 0 && *rest.p != ':')) {
            *why = "an address that begins with '[' ends with ']', or ']:' and a port";
            return CACHE_E_INVALID;
        }
        has_port = rest.n > 0;
        if (has_port)
            port = without_first(rest, 1);
    } else {
        has_port = split(s, ':', &host, &port);
    }
    if (host.n == 0) {
        *why = "the host is missing";
        return CACHE_E_INVALID;
    }
    if (!valid_host(host, bracketed)) {
        *why = "the host contains a character that no host name has (an IPv6 address goes into brackets; '@', ':' "
               "and '/' in a password are written %40, %3A and %2F)";
        return CACHE_E_INVALID;
    }
    long number = DEFAULT_PORT;
    if (has_port && (!parse_number(port, UINT16_MAX, &number) || number == 0)) {
        *why = "the port is not a number from 1 to 65535";
        return CACHE_E_INVALID;
    }
    u->port = (uint16_t)number;
    return copy_span(host, u->alloc, &u->host);
}

/* rest begins after "redis://". */
static int parse_tcp(struct tc_redis_url *u, struct span rest, const char **why)
{
    struct span authority = rest, path;
    if (split(rest, '/', &authority, &path) && path.n > 0) {
        if (memchr(path.p, '?', path.n) != NULL) {
            *why = "options after '?' are not known; the database is the path, as in /3";
            return CACHE_E_INVALID;
        }
        int status = parse_db(u, path, why);
        if (status != CACHE_OK)
            return status;
    }
    struct span credentials, host = authority;
    if (split(authority, '@', &credentials, &host)) {
        int status = parse_credentials(u, credentials, why);
        if (status != CACHE_OK)
            return status;
    }
    return parse_host_port(u, host, why);
}

/* rest begins after "unix://": the path's first '/' ends the credentials. */
static int parse_unix(struct tc_redis_url *u, struct span rest, const char **why)
{
    struct span authority, path, query;
    if (!split(rest, '/', &authority, &path)) {
        *why = "the path of the socket is missing; it begins with '/'";
        return CACHE_E_INVALID;
    }
    path = without_first(rest, authority.n);
    if (authority.n > 0) {
        if (authority.p[authority.n - 1] != '@') {
            *why = "a unix:// URL has no host: three slashes before the path, as in unix:///run/redis.sock";
            return CACHE_E_INVALID;
        }
        int status = parse_credentials(u, (struct span){ authority.p, authority.n - 1 }, why);
        if (status != CACHE_OK)
            return status;
    }
    if (split(path, '?', &path, &query)) {
        if (query.n < 3 || memcmp(query.p, "db=", 3) != 0) {
            *why = "the only option after '?' is db=N";
            return CACHE_E_INVALID;
        }
        int status = parse_db(u, without_first(query, 3), why);
        if (status != CACHE_OK)
            return status;
    }
    int status = decode(path, u->alloc, &u->path, why);
    if (status == CACHE_OK && strlen(u->path) > MAX_UNIX_PATH_BYTES) {
        *why = "the path of the socket is longer than 107 bytes";
        return CACHE_E_INVALID;
    }
    return status;
}

/* Host and port, or the path with its unprintable bytes replaced: it goes into logs. */
static int describe(struct tc_redis_url *u)
{
    if (u->is_unix) {
        u->where = tc_strdup(u->alloc, u->path);
        if (u->where == NULL)
            return CACHE_E_NOMEM;
        for (char *p = u->where; *p != '\0'; p++)
            if (*p < 0x20 || *p > 0x7e)
                *p = '?';
        return CACHE_OK;
    }
    char text[MAX_HOST_BYTES + 16];
    bool v6 = strchr(u->host, ':') != NULL;
    snprintf(text, sizeof text, v6 ? "[%s]:%u" : "%s:%u", u->host, (unsigned)u->port);
    u->where = tc_strdup(u->alloc, text);
    return u->where != NULL ? CACHE_OK : CACHE_E_NOMEM;
}

static bool has_prefix(struct span s, const char *prefix)
{
    return s.n >= strlen(prefix) && memcmp(s.p, prefix, strlen(prefix)) == 0;
}

static int parse(struct tc_redis_url *u, const char *text, const char **why)
{
    struct span s = { text, strlen(text) };
    if (s.n > MAX_URL_BYTES) {
        *why = "it is longer than 8192 bytes";
        return CACHE_E_INVALID;
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p <= 0x20 || *p > 0x7e || *p == '#') {
            *why = "it contains a space, a '#', a control character or a byte outside ASCII; write it as %XX";
            return CACHE_E_INVALID;
        }
    }
    if (has_prefix(s, "redis://"))
        return parse_tcp(u, without_first(s, strlen("redis://")), why);
    if (has_prefix(s, "unix://")) {
        u->is_unix = true;
        return parse_unix(u, without_first(s, strlen("unix://")), why);
    }
    *why = has_prefix(s, "rediss://") ? "TLS (rediss://) is not supported"
                                      : "it begins with neither redis:// nor unix://";
    return CACHE_E_INVALID;
}

int tc_redis_url_init(struct tc_redis_url *u, const char *text, const struct tc_alloc *alloc, char *err,
                      size_t err_cap)
{
    *u = (struct tc_redis_url){ .port = DEFAULT_PORT, .alloc = alloc };
    const char *why = "out of memory";
    int status = parse(u, text, &why);
    if (status == CACHE_OK)
        status = describe(u);
    if (status != CACHE_OK && err != NULL && err_cap > 0)
        snprintf(err, err_cap, "Redis URL: %s", status == CACHE_E_NOMEM ? "out of memory" : why);
    return status;
}

void tc_redis_url_fini(struct tc_redis_url *u)
{
    tc_strfree(u->alloc, u->host);
    tc_strfree(u->alloc, u->path);
    tc_strfree(u->alloc, u->where);
    free_secret(u->alloc, u->user);
    free_secret(u->alloc, u->password);
    *u = (struct tc_redis_url){ .alloc = u->alloc };
}
