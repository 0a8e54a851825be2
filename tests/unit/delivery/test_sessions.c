#include "delivery/sessions.h"

#include "tests/unit/unit.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

static const struct tls_policy verify = { .level = ROUTE_TLS_VERIFY, .verify = true };

static void keep(struct sessions *s, const char *name, SSL_SESSION *session, uint64_t until_ms)
{
    SSL_SESSION_up_ref(session);
    sessions_keep(s, view_of(name), session, until_ms);
}

static void check_taken(struct sessions *s, const char *name, SSL_SESSION *wanted, uint64_t now_ms)
{
    uint64_t until_ms;
    struct ssl_session_st *got = sessions_take(s, view_of(name), now_ms, &until_ms);

    check(name, got == wanted && (got == NULL || until_ms > now_ms));
    tls_free_session(&got);
}

static void names_differ_where_policies_do(void **state)
{
    static const struct {
        const char *host;
        uint16_t port;
        struct tls_policy policy;
        size_t anchors;
    } cases[] = {
        { "mx.test", 25, { .level = ROUTE_TLS_OFFERED }, 0 },
        { "mx.test", 25, { .level = ROUTE_TLS_ENCRYPT }, 0 },
        { "mx.test", 25, { .level = ROUTE_TLS_VERIFY, .verify = true }, 0 },
        { "mx.test", 25, { .level = ROUTE_TLS_VERIFY, .verify = true, .onward = true }, 0 },
        { "mx.test", 25, { .level = ROUTE_TLS_VERIFY, .verify = true }, 1 },
        { "mx.test", 25, { .level = ROUTE_TLS_VERIFY, .verify = true }, 2 },
        { "mx.test", 26, { .level = ROUTE_TLS_OFFERED }, 0 },
        { "mx2.test", 25, { .level = ROUTE_TLS_OFFERED }, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t k = 0; k < COUNT_OF(cases); k++) {
            char rooms[2][SESSIONS_NAME_MAX];
            struct buf a = BUF_ON_ARRAY(rooms[0]), b = BUF_ON_ARRAY(rooms[1]);

            sessions_name(view_of(cases[i].host), cases[i].port, cases[i].policy, cases[i].anchors,
                          &a);
            sessions_name(view_of(cases[k].host), cases[k].port, cases[k].policy, cases[k].anchors,
                          &b);
            check(cases[i].host, view_equal(buf_view(&a), buf_view(&b)) == (i == k));
        }
    }
}

/* The longest host's name leaves none of it out. */
static void names_have_room(void **state)
{
    char host[255], room[SESSIONS_NAME_MAX];
    struct buf name = BUF_ON_ARRAY(room);

    (void)state;
    memset(host, 'a', sizeof(host));
    sessions_name(view_make(host, sizeof(host)), 65535, verify, 4000, &name);
    assert_true(view_ends_nocase(buf_view(&name), view_make(host, sizeof(host))));
}

static void takes_each_once(void **state)
{
    SSL_SESSION *a = SSL_SESSION_new(), *b = SSL_SESSION_new();
    struct sessions s;

    (void)state;
    sessions_init(&s);
    check_taken(&s, "x", NULL, 0);
    keep(&s, "x", a, 1);
    keep(&s, "x", b, 1);
    check_taken(&s, "y", NULL, 0);
    check_taken(&s, "X", b, 0);
    check_taken(&s, "x", a, 0);
    check_taken(&s, "x", NULL, 0);
    assert_int_equal(s.by_name.count, 0);
    sessions_release(&s);
    SSL_SESSION_free(a);
    SSL_SESSION_free(b);
}

static void forgets_what_is_old(void **state)
{
    SSL_SESSION *a = SSL_SESSION_new(), *b = SSL_SESSION_new();
    struct sessions s;

    (void)state;
    sessions_init(&s);
    keep(&s, "x", a, 101);
    keep(&s, "x", b, 100);
    check_taken(&s, "x", a, 100);
    check_taken(&s, "x", NULL, 100);
    assert_int_equal(s.by_name.count, 0);
    keep(&s, "x", a, 100);
    check_taken(&s, "x", NULL, 100);
    assert_int_equal(s.by_name.count, 0);
    sessions_release(&s);
    SSL_SESSION_free(a);
    SSL_SESSION_free(b);
}

static void has_limits(void **state)
{
    SSL_SESSION *one = SSL_SESSION_new(), *other = SSL_SESSION_new();
    struct sessions s;
    char name[32];

    (void)state;
    sessions_init(&s);
    keep(&s, "x", other, 1);
    for (unsigned i = 0; i < SESSIONS_PER_HOST_MAX; i++)
        keep(&s, "x", one, 1);
    for (unsigned i = 0; i < SESSIONS_PER_HOST_MAX; i++)
        check_taken(&s, "x", one, 0);
    check_taken(&s, "x", NULL, 0);

    for (unsigned i = 0; i <= SESSIONS_HOSTS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "h%u", i);
        keep(&s, name, one, 1);
        if (i == 1)
            keep(&s, "h0", one, 1); /* used again: h1 is older now */
    }
    assert_int_equal(s.by_name.count, SESSIONS_HOSTS_MAX);
    check_taken(&s, "h1", NULL, 0);
    check_taken(&s, "h0", one, 0);
    check_taken(&s, "h500", one, 0);
    sessions_release(&s);
    SSL_SESSION_free(one);
    SSL_SESSION_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_differ_where_policies_do),
        cmocka_unit_test(names_have_room),
        cmocka_unit_test(takes_each_once),
        cmocka_unit_test(forgets_what_is_old),
        cmocka_unit_test(has_limits),
    };

    return cmocka_run_group_tests_name("sessions", tests, NULL, NULL);
}
