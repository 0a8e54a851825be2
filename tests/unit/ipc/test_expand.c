/* Recipients: who has them, and where aliases lead. */
#include "ipc/expand.h"

#include "ipc/settings_rows.h"
#include "tests/unit/config_text.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

/* A pattern takes too many steps for this one. */
#define SLOW "xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const char yaml[] = "hostname: mx.test\n"
                           "domains:\n"
                           "  one.test: { deliver: maildir }\n"
                           "  two.test: { deliver: maildir }\n"
                           "  all.test: { deliver: maildir }\n"
                           "  none.test: { deliver: aliases }\n"
                           "  back.test: { deliver: relay }\n"
                           "maildir: { root: /m }\n"
                           "detail-delimiter: \"+=\"\n"
                           "mailboxes:\n"
                           "  ann@one.test: ann\n"
                           "  bob@one.test: bob\n"
                           "  carl@two.test: carl\n"
                           "  ann+lists@one.test: lists\n"
                           "  sales@two.test: sales\n"
                           "  eve@all.test: eve\n"
                           "  /^box-[0-9]+@one\\.test$/: box\n"
                           "  '/x(?:a*)*[bc]@(one|all)\\.test/': never\n"
                           "aliases:\n"
                           "  root: ann\n"
                           "  slow: " SLOW "@one.test\n"
                           "  sales: [ann, carl]\n"
                           "  team@one.test: [bob, root, dan@far.test]\n"
                           "  bob@one.test: [bob, bob@far.test]\n"
                           "  up@one.test: down@one.test\n"
                           "  down@one.test: up@one.test\n"
                           "  twice@one.test: [team@one.test, team@one.test]\n"
                           "  ghost@one.test: nobody@one.test\n"
                           "  half@one.test: [ann, nobody@one.test]\n"
                           "  self@one.test: self@one.test\n"
                           "  '\"Quoted Name\"': ann\n"
                           "  info@none.test: ann@one.test\n"
                           "  far@one.test: x@back.test\n"
                           "  \"@all.test\": eve\n"
                           "  postmaster@two.test: carl\n"
                           "  list@one.test: \":include:/list\"\n"
                           "alias-files: [/aliases]\n";
static const char aliases[] = "# of old\n"
                              "operator: root\n"
                              "news: \\ann,\n"
                              "\tcarl@two.test\n";
static const char list[] = "ann\n# not him\n bob@far.test, :include:/list2\n";
static const char list2[] = "dan@far.test\n";

static char room[1 << 16];
static struct settings settings;
static struct config *config;

/* clang-format off */
static const struct {
    const char *rcpt;
    enum expand_result result;
    const char *added; /* joined by blanks; only of EXPAND_DONE */
    bool aliased;
} cases[] = {
    { "ann@one.test",          EXPAND_DONE, "ann@one.test", false },
    { "ANN@One.Test",          EXPAND_DONE, "ANN@One.Test", false },
    { "ann+x@one.test",        EXPAND_DONE, "ann+x@one.test", false },
    { "ann=x@one.test",        EXPAND_DONE, "ann=x@one.test", false },
    { "ann+lists@one.test",    EXPAND_DONE, "ann+lists@one.test", false },
    { "box-12@one.test",       EXPAND_DONE, "box-12@one.test", false },
    { "+ann@one.test",         EXPAND_UNKNOWN, "", false },
    { "\"ann+x\"@one.test",    EXPAND_UNKNOWN, "", false },
    { "ann@two.test",          EXPAND_UNKNOWN, "", false },
    { "root@one.test",         EXPAND_DONE, "ann@one.test", true },
    { "root+x@two.test",       EXPAND_DONE, "ann@one.test", true }, /* two.test has no ann */
    { "root@none.test",        EXPAND_UNKNOWN, "", false },         /* has no mailboxes */
    { "sales@one.test",        EXPAND_DONE, "ann@one.test carl@two.test", true },
    { "sales@two.test",        EXPAND_DONE, "sales@two.test", false }, /* its own mailbox */
    { "bob@one.test",          EXPAND_DONE, "bob@one.test bob@far.test", true },
    { "team@one.test",         EXPAND_DONE, "bob@one.test bob@far.test ann@one.test dan@far.test", true },
    { "twice@one.test",        EXPAND_DONE, "bob@one.test bob@far.test ann@one.test dan@far.test "
                                            "bob@one.test bob@far.test ann@one.test dan@far.test", true },
    { "up@one.test",           EXPAND_LOOP, "", true },
    { "ghost@one.test",        EXPAND_UNKNOWN, "", true },
    { "half@one.test",         EXPAND_DONE, "ann@one.test nobody@one.test", true },
    { "self@one.test",         EXPAND_UNKNOWN, "", true },
    { "\"quoted name\"@one.test", EXPAND_DONE, "ann@one.test", true },
    { "info@none.test",        EXPAND_DONE, "ann@one.test", true },
    { "other@none.test",       EXPAND_UNKNOWN, "", false },
    { "far@one.test",          EXPAND_DONE, "x@back.test", true },
    { "eve@all.test",          EXPAND_DONE, "eve@all.test", false },
    { "anybody@all.test",      EXPAND_DONE, "eve@all.test", true },
    { "operator@one.test",     EXPAND_DONE, "ann@one.test", true },
    { "news@two.test",         EXPAND_DONE, "ann@one.test carl@two.test", true },
    { "list@one.test",         EXPAND_DONE, "ann@one.test bob@far.test dan@far.test", true },
    { SLOW "@one.test",        EXPAND_UNSURE, "", false },
    { SLOW "+x@one.test",      EXPAND_UNSURE, "", false },
    { SLOW "@all.test",        EXPAND_UNSURE, "", false }, /* not everybody's yet */
    { "slow@one.test",         EXPAND_UNSURE, "", true },
    /* always */
    { "postmaster@two.test",   EXPAND_DONE, "carl@two.test", true },
    { "PostMaster@all.test",   EXPAND_DONE, "eve@all.test", true },  /* gets everything there */
    { "postmaster@one.test",   EXPAND_DONE, "carl@two.test", true }, /* another domain's */
    { "postmaster@none.test",  EXPAND_DONE, "carl@two.test", true },
    { "postmaster",            EXPAND_DONE, "carl@two.test", true },
    { "abuse@two.test",        EXPAND_DONE, "carl@two.test", true },
    { "abuse@none.test",       EXPAND_DONE, "carl@two.test", true },
};
/* clang-format on */

struct collected {
    struct expansion expansion;
    struct buf text;
    size_t count, most;
    char room[4096];
};

static bool on_add(struct expansion *x, const struct address *a)
{
    struct collected *c = container_of(x, struct collected, expansion);

    if (c->count++ == c->most)
        return false;
    if (buf_len(&c->text) > 0)
        buf_put_byte(&c->text, ' ');
    return address_print(a, &c->text);
}

static enum expand_result expand(struct collected *c, const char *rcpt, size_t most)
{
    struct address a;

    *c = (struct collected){
        .expansion = { .settings = &settings, .has_mailbox = settings_has_mailbox, .add = on_add },
        .most = most
    };
    c->text = BUF_ON_ARRAY(c->room);
    check(rcpt, address_parse(view_of(rcpt), true, &a));
    check(rcpt, expand_is_ours(&settings, &a));
    return expand_rcpt(&c->expansion, &a);
}

static int read_all(void **state)
{
    const char *const files[] = { "t.yaml", yaml, NULL };

    (void)state;
    config = config_from(room, sizeof(room), files);
    config_attach(config, SETTINGS_ALIASES_PREFIX "/aliases", view_of(aliases));
    config_attach(config, SETTINGS_ALIASES_PREFIX "/list", view_of(list));
    config_attach(config, SETTINGS_ALIASES_PREFIX "/list2", view_of(list2));
    settings_read(&settings, config);
    check_view("errors", config_errors(config), VIEW_EMPTY);
    return 0;
}

static int release_all(void **state)
{
    (void)state;
    settings_release(&settings);
    config_free(&config);
    return 0;
}

static void finds_who_it_is(void **state)
{
    static struct collected c;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum expand_result r = expand(&c, cases[i].rcpt, 100);
        struct address a;

        if (r != cases[i].result)
            fail_msg("%s: result %d", cases[i].rcpt, (int)r);
        check(cases[i].rcpt, c.expansion.aliased == cases[i].aliased);
        if (r == EXPAND_DONE)
            check_view(cases[i].rcpt, buf_view(&c.text), view_of(cases[i].added));
        check(cases[i].rcpt, address_parse(view_of(cases[i].rcpt), true, &a));
        if (r == EXPAND_DONE)
            check(cases[i].rcpt, expand_look(&c.expansion, &a) == EXPAND_DONE);
        if (r == EXPAND_UNSURE)
            check(cases[i].rcpt, expand_look(&c.expansion, &a) ==
                                     (c.expansion.aliased ? EXPAND_DONE : EXPAND_UNSURE));
    }
}

static void stops_when_there_is_no_room(void **state)
{
    static struct collected c;

    (void)state;
    assert_int_equal(expand(&c, "team@one.test", 4), EXPAND_DONE);
    assert_int_equal(expand(&c, "team@one.test", 3), EXPAND_TOO_MANY);
}

/* What local makes of the address that was added: always a mailbox. */
static void local_finds_the_mailbox(void **state)
{
    static struct collected c;
    char folder[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct view rest, one;

        if (expand(&c, cases[i].rcpt, 100) != EXPAND_DONE)
            continue;
        for (rest = buf_view(&c.text); rest.len > 0;) {
            struct buf out = BUF_ON_ARRAY(folder);
            struct address a;

            one = view_take_until(&rest, ' ');
            check(cases[i].rcpt, address_parse(one, true, &a));
            if (expand_is_ours(&settings, &a) && !view_starts(one, VIEW("nobody@")))
                check(cases[i].rcpt, settings_mailbox(&settings, &a, &out) == MAILBOX_HERE);
        }
    }
}

/* Aliases that lead to two aliases each, forty times over. */
static void does_not_explode(void **state)
{
    static char text[8192], bundle[1 << 14];
    struct buf out = BUF_ON_ARRAY(text);
    const char *const files[] = { "t.yaml", text, NULL };
    static struct collected c;
    struct config *own;

    (void)state;
    buf_put(&out,
            VIEW("hostname: mx.test\ndomains: { one.test: { deliver: aliases } }\naliases:\n"));
    for (int i = 0; i < 18; i++)
        buf_printf(&out, "  a%d@one.test: [ a%d@one.test, A%d@one.test ]\n", i, i + 1, i + 1);
    buf_printf(&out, "  a18@one.test: ann@far.test\n");
    buf_put_byte(&out, '\0');
    release_all(NULL);
    own = config_from(bundle, sizeof(bundle), files);
    settings_load(&settings, own);
    config = own;
    assert_int_equal(expand(&c, "a0@one.test", SIZE_MAX), EXPAND_TOO_MANY);
    assert_non_null(strstr(config_errors(own).ptr, "the alias a0@one.test is for more than 1000"));
}

/* What is said when the configuration is read: errors stop it, warnings do not. */
static void tells_where_aliases_lead(void **state)
{
    static const struct {
        const char *yaml;
        unsigned errors;
        const char *words;
    } tries[] = {
        { "aliases: { a@one.test: b@one.test, b@one.test: a@one.test }", 3,
          "t.yaml:4:12: error: the alias a@one.test leads back to itself" },
        { "aliases: { a@one.test: b }", 1,
          "t.yaml:4:12: warning: the alias a@one.test leads to nobody: its mail will be refused" },
        { "aliases: { a@one.test: x@far.test }", 1,
          "t.yaml:2:12: error: one.test has no postmaster" },
        { "alias-files: [/file]", 3, "/file:2:1: error: the alias b leads back to itself" },
        { "aliases: { postmaster: x@far.test }", 0, "" },
        { "aliases: { \"@one.test\": x@far.test }", 0, "" },
        { "aliases: { x@one.test: y@far.test, postmaster@one.test: \":include:/loop\" }", 1,
          "/loop:2:1: error: /loop includes itself" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        static char text[1024], bundle[4096];
        const char *const files[] = { "t.yaml", text, NULL };
        struct view words;
        struct config *c;
        struct settings s;

        (void)snprintf(text, sizeof(text),
                       "hostname: mx.test\ndomains: { one.test: { deliver: maildir } }\n"
                       "maildir: { root: /m }\n%s\n",
                       tries[i].yaml);
        c = config_from(bundle, sizeof(bundle), files);
        config_attach(c, SETTINGS_ALIASES_PREFIX "/file", VIEW("a: b\nb: a\n"));
        config_attach(c, SETTINGS_ALIASES_PREFIX "/loop", VIEW("x@far.test\n:include:/loop\n"));
        settings_load(&s, c);
        words = config_errors(c);
        if (config_error_count(c) != tries[i].errors ||
            (tries[i].words[0] == '\0'
                 ? words.len > 0
                 : view_find_view(words, view_of(tries[i].words)) == words.len))
            fail_msg("%s: %.*s", tries[i].yaml, VIEW_ARG(words));
        settings_release(&s);
        config_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_who_it_is),          cmocka_unit_test(stops_when_there_is_no_room),
        cmocka_unit_test(local_finds_the_mailbox),  cmocka_unit_test(does_not_explode),
        cmocka_unit_test(tells_where_aliases_lead),
    };

    return cmocka_run_group_tests_name("ipc/expand", tests, read_all, release_all);
}
