/* Who the client is, what is configured and offered, and how the spool is. */
#include "tests/dialogs/dialog.h"

#include "io/config.h"

#include <stdio.h>

static bool run_client(struct dialog *d, struct view args)
{
    return !d->begun && net_parse_address(args, &d->client);
}

static bool run_at(struct dialog *d, struct view args)
{
    for (size_t i = 0; i < d->settings.listener_count && !d->begun; i++) {
        d->listener = d->settings.listeners[i];
        if (view_equal(d->listener.name, args))
            return true;
    }
    return false;
}

static bool run_listener(struct dialog *d, struct view args)
{
    static const char *const kinds[] = { [LISTENER_TLS_OFFERED] = "offered",
                                         [LISTENER_TLS_NONE] = "none",
                                         [LISTENER_TLS_IMPLICIT] = "implicit",
                                         [LISTENER_TLS_REQUIRED] = "required" };

    return !d->begun && find_word(kinds, COUNT_OF(kinds), args, &d->listener.tls);
}

static bool run_mechanisms(struct dialog *d, struct view args)
{
    flush_client(d);
    d->settings.auth.users = VIEW("/etc/tern/users");
    (void)snprintf(d->mechanisms, sizeof(d->mechanisms), "%.*s", VIEW_ARG(args));
    return true;
}

static bool run_certificate(struct dialog *d, struct view args)
{
    d->certified = true;
    return args.len == 0;
}

static bool run_check_from(struct dialog *d, struct view args)
{
    d->settings.auth.check_from = true;
    return args.len == 0;
}

static bool run_plain(struct dialog *d, struct view args)
{
    d->listener.auth = LISTENER_AUTH_PLAIN;
    return args.len == 0;
}

static bool run_set(struct dialog *d, struct view args)
{
    const struct {
        struct view name;
        uint64_t *field;
    } fields[] = {
        { VIEW("limits.message-bytes"), &d->listener.limits.message_bytes },
        { VIEW("limits.recipients"), &d->listener.limits.recipients },
        { VIEW("limits.hops"), &d->listener.limits.hops },
        { VIEW("limits.errors"), &d->listener.limits.errors },
        { VIEW("limits.address-memory"), &d->settings.limits.address_memory_bytes },
        { VIEW("limits.body-memory"), &d->settings.limits.body_memory_bytes },
        { VIEW("spool.big-body"), &d->settings.spool.big_body_bytes },
    };
    struct view name = view_take_word(&args);

    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        if (view_equal(fields[i].name, name))
            return !d->begun && view_to_u64(args, UINT64_MAX, fields[i].field);
    }
    return false;
}

static bool run_listed(struct dialog *d, struct view args)
{
    begin(d);
    session_list_client(&d->session, args, true);
    return args.len > 0;
}

static bool run_perhaps_listed(struct dialog *d, struct view args)
{
    begin(d);
    session_list_client(&d->session, args, false);
    return args.len > 0;
}

static bool run_naming(struct dialog *d, struct view args)
{
    begin(d);
    session_await_name(&d->session);
    return args.len == 0;
}

static bool run_rate(struct dialog *d, struct view args)
{
    static const char *const kinds[] = { [RATE_CONNECTIONS] = "connections",
                                         [RATE_MESSAGES] = "messages",
                                         [RATE_RECIPIENTS] = "recipients",
                                         [RATE_FAILURES] = "failures" };
    unsigned kind;

    return find_word(kinds, COUNT_OF(kinds), view_take_word(&args), &kind) &&
           view_to_u64(args, UINT64_MAX, &d->rates[kind]);
}

static bool run_rate_of(struct dialog *d, struct view args)
{
    static const char *const owners[] = { [RATES_FINE] = "nobody",
                                          [RATES_CLIENT] = "client",
                                          [RATES_NETWORK] = "network",
                                          [RATES_LOGIN] = "login" };
    unsigned owner;

    if (!find_word(owners, COUNT_OF(owners), args, &owner))
        return false;
    d->rates_of = (enum rates_verdict)owner;
    return true;
}

static bool run_surplus(struct dialog *d, struct view args)
{
    static const char *const ways[] = { [SURPLUS_REFUSE] = "refuse", [SURPLUS_HOLD] = "hold" };

    return find_word(ways, COUNT_OF(ways), args, &d->listener.rates.login_surplus);
}

/* By their names as settings. */
static bool run_offer(struct dialog *d, struct view args)
{
    const struct config_item *item;
    const char *section;

    while (args.len > 0) {
        struct view word = view_take_word(&args);
        bool found = false;

        for (size_t i = 0; i < settings_item_count(); i++) {
            settings_item(i, &section, &item);
            if (!view_equal(view_of(section), VIEW("extensions")) ||
                !view_equal(view_of(item->name), word))
                continue;
            *(bool *)((char *)&d->settings.extensions + item->offset) = true;
            found = true;
        }
        if (d->begun || !found)
            return false;
    }
    return true;
}

static bool run_spool(struct dialog *d, struct view args)
{
    unsigned trouble;

    flush_client(d);
    if (!find_word(troubles, TROUBLES, args, &trouble))
        return false;
    d->spool.trouble = (enum spool_trouble)trouble;
    return true;
}

static bool run_room(struct dialog *d, struct view args)
{
    flush_client(d);
    return view_to_u64(args, UINT64_MAX, &d->spool.room_bytes);
}

static bool run_whole(struct dialog *d, struct view args)
{
    d->whole_only = true;
    return args.len == 0;
}

const struct word circumstances[] = {
    { VIEW_INIT("client"), run_client },
    { VIEW_INIT("at"), run_at },
    { VIEW_INIT("listener"), run_listener },
    { VIEW_INIT("mechanisms"), run_mechanisms },
    { VIEW_INIT("plain"), run_plain },
    { VIEW_INIT("certificate"), run_certificate },
    { VIEW_INIT("check-from"), run_check_from },
    { VIEW_INIT("set"), run_set },
    { VIEW_INIT("listed"), run_listed },
    { VIEW_INIT("perhaps-listed"), run_perhaps_listed },
    { VIEW_INIT("naming"), run_naming },
    { VIEW_INIT("rate"), run_rate },
    { VIEW_INIT("rate-of"), run_rate_of },
    { VIEW_INIT("surplus"), run_surplus },
    { VIEW_INIT("offer"), run_offer },
    { VIEW_INIT("spool"), run_spool },
    { VIEW_INIT("room"), run_room },
    { VIEW_INIT("whole"), run_whole },
    { VIEW_INIT(""), NULL },
};
