/* Settings with mailboxes. */
#ifndef TESTS_UNIT_LOCAL_SETTINGS_H
#define TESTS_UNIT_LOCAL_SETTINGS_H

#include "ipc/settings.h"
#include "tests/unit/config_text.h"
#include "tests/unit/unit.h"

/* The pattern of a mailbox takes too many steps for it. */
#define UNSURE_MAILBOX "slowaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@here.test"

static struct settings test_settings;
static struct config *test_config;

static inline UNUSED int settings_make(void **state)
{
    static const char text[] = "hostname: mx.test\n"
                               "domains:\n"
                               "  here.test: { deliver: maildir }\n"
                               "  other.test: { deliver: maildir }\n"
                               "mailboxes:\n"
                               "  bob@here.test: bob\n"
                               "  alice@here.test: here.test/alice\n"
                               "  /^sales-.*@here\\.test$/: sales\n"
                               "  /slow(?:a*)*[bc]@here\\.test/: slow\n"
                               "  postmaster@here.test: postmaster\n"
                               "maildir: { root: /var/mail }\n";
    static const char *const files[] = { "t.yaml", text, NULL };
    static char room[1 << 16];

    (void)state;
    test_config = config_from(room, sizeof(room), files);
    settings_gather(test_config);
    settings_read(&test_settings, test_config);
    check_view("settings", config_errors(test_config), VIEW(""));
    return 0;
}

static inline UNUSED int settings_free(void **state)
{
    (void)state;
    settings_release(&test_settings);
    config_free(&test_config);
    return 0;
}

#endif
