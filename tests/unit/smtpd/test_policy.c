#include "ipc/policy.h"

#include "tests/unit/unit.h"

#include <string.h>

static struct settings settings;

/* clang-format off */
static const struct {
    const char *client;
    bool trusted;
} clients[] = {
    { "192.0.2.1",        true },  /* by everybody */
    { "192.0.2.16",       false },
    { "198.51.100.255",   true },  /* by the listener */
    { "198.51.101.0",     false },
    { "::ffff:192.0.2.1", true },  /* one and the same */
    { "2001:db8:1::9",    true },
    { "2001:db8:2::9",    false },
    { "127.0.0.1",        false }, /* the setting replaces its default */
};

static const struct {
    const char *path;
    enum policy_verdict stranger, trusted;
} recipients[] = {
    { "<bob@here.test>",           POLICY_LOCAL,           POLICY_LOCAL },
    { "<BOB@HERE.TEST>",           POLICY_LOCAL,           POLICY_LOCAL },
    { "<\"bob\"@here.test>",       POLICY_LOCAL,           POLICY_LOCAL },
    { "<@a.test:bob@here.test>",   POLICY_LOCAL,           POLICY_LOCAL },
    { "<sales-1@here.test>",       POLICY_LOCAL,           POLICY_LOCAL },
    { "<sales-@here.test>",        POLICY_UNKNOWN_MAILBOX, POLICY_UNKNOWN_MAILBOX },
    { "<eve@here.test>",           POLICY_UNKNOWN_MAILBOX, POLICY_UNKNOWN_MAILBOX },
    { "<postmaster>",              POLICY_LOCAL,           POLICY_LOCAL },
    { "<PostMaster@here.test>",    POLICY_LOCAL,           POLICY_LOCAL },
    { "<postmaster@empty.test>",   POLICY_LOCAL,           POLICY_LOCAL },
    { "<bob@empty.test>",          POLICY_UNKNOWN_MAILBOX, POLICY_UNKNOWN_MAILBOX },
    { "<anyone@backup.test>",      POLICY_RELAY_DOMAIN,    POLICY_RELAY_DOMAIN },
    { "<anyone@Backup.Test>",      POLICY_RELAY_DOMAIN,    POLICY_RELAY_DOMAIN },
    { "<bob@there.test>",          POLICY_DENIED,          POLICY_TRUSTED },
    { "<bob@sub.here.test>",       POLICY_DENIED,          POLICY_TRUSTED },
    { "<\"bob@here.test\"@x.test>", POLICY_DENIED,         POLICY_TRUSTED },
    { "<bob@[127.0.0.1]>",         POLICY_LITERAL,         POLICY_TRUSTED },
    { "<bob@[IPv6:::1]>",          POLICY_LITERAL,         POLICY_TRUSTED },
};
/* clang-format on */

static void knows_whom_to_trust(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        struct net_address client;

        check(clients[i].client, net_parse_address(view_of(clients[i].client), &client));
        check(clients[i].client,
              policy_trusts(&settings, &settings.listeners[0], &client) == clients[i].trusted);
        check(clients[i].client, !policy_trusts(&settings, &settings.listeners[1], &client));
    }
}

static void decides_about_recipients(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(recipients); i++) {
        const char *name = recipients[i].path;
        struct view path = view_of(name);
        struct address to;

        check(name, address_take_path(&path, false, &to));
        check(name, policy_rcpt(&settings, false, &to) == recipients[i].stranger);
        check(name, policy_rcpt(&settings, true, &to) == recipients[i].trusted);
    }
}

static void every_verdict_has_a_reply(void **state)
{
    (void)state;
    for (unsigned v = 0; v < POLICY_VERDICTS; v++) {
        const struct policy_reply *r = policy_reply((enum policy_verdict)v);

        assert_int_equal(r->code == 250, v <= POLICY_TRUSTED);
        assert_int_equal(r->code / 100, (unsigned)(r->enhanced[0] - '0'));
        assert_true(strlen(r->text) > 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_whom_to_trust),
        cmocka_unit_test(decides_about_recipients),
        cmocka_unit_test(every_verdict_has_a_reply),
    };
    struct config *config = config_read(argc > 1 ? argv[1] : "settings.yaml");
    int failed;

    settings_read(&settings, config);
    if (config_error_count(config) > 0)
        print_error("%.*s", VIEW_ARG(config_errors(config)));
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    settings_release(&settings);
    config_free(&config);
    return failed;
}
