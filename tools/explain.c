/* tern explain: why mail is taken or not, and where it goes. The same code decides as in the
 * running processes: policy, rules, aliases, routes. */
#include "tools/explain.h"

#include "common/memory.h"
#include "io/clock.h"
#include "ipc/expand.h"
#include "ipc/policy.h"
#include "tools/commands.h"
#include "tools/ways.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char *origin_of(const struct question *q, const char *key)
{
    struct config_node *n = config_find(config_root(q->config), key);

    return n != NULL ? config_origin(q->config, n) : "default";
}

/* ---- the listener, and who may relay ---- */

/* False: no mail comes in here. */
static bool tell_listener(struct question *q)
{
    static const char *const roles[] = { "mx", "submission", "trusted" };
    static const char *const tls[] = { "offered", "none", "implicit", "required" };
    const struct listener_settings *l = q->listener;

    steps_add(&q->steps, "listener", l->origin, "%.*s: role %s, TLS %s", VIEW_ARG(l->name),
              roles[l->role], tls[l->tls]);
    if (l->tls != LISTENER_TLS_REQUIRED || q->facts.tls.len > 0)
        return true;
    steps_add(&q->steps, "refused", l->origin, "530 5.7.0 to MAIL: STARTTLS comes first");
    return false;
}

static bool tell_trust(struct question *q)
{
    const struct settings *s = q->settings;
    const struct listener_settings *l = q->listener;
    bool known = q->client.family != 0;

    q->trusted = q->facts.login.len > 0 || (known && policy_trusts(s, l, &q->client));
    if (q->facts.login.len > 0)
        steps_add(&q->steps, "relay", NULL, "%.*s has logged in and may send to any domain",
                  VIEW_ARG(q->facts.login));
    else if (q->trusted && network_list_has(&l->trust, &q->client))
        steps_add(&q->steps, "relay", l->origin, "the client is in the listener's trust");
    else if (q->trusted)
        steps_add(&q->steps, "relay", origin_of(q, "trust"), "the client is in trust");
    else if (l->relay == LISTENER_RELAY_LOGINS)
        steps_add(&q->steps, "relay", l->origin, "no: this listener relays for logins alone");
    else
        steps_add(&q->steps, "relay", origin_of(q, "trust"), "no: %s, and nobody has logged in",
                  known ? "the client is in no trusted network" : "no --client is given");
    if (q->trusted || l->strangers)
        return true;
    steps_add(&q->steps, "refused", l->origin, "to MAIL: strangers are not served here");
    return false;
}

static bool tell_sender(struct question *q)
{
    const struct settings *s = q->settings;

    if (q->facts.login.len == 0 || address_is_null(&q->from) ||
        settings_login_owns(s, q->facts.login, &q->from))
        return true;
    steps_add(&q->steps, "refused", origin_of(q, "auth"),
              "553 5.7.1 to MAIL: the sender does not belong to the login");
    return false;
}

/* ---- rules ---- */

static void keep_action(struct question *q, const struct rule_action *a)
{
    size_t len = strlen(q->tags);

    if (a->act == RULE_ROUTE && q->envelope.route.len == 0)
        q->envelope.route = a->word;
    if (a->act == RULE_TAG && len + a->word.len + 2 < sizeof(q->tags)) {
        (void)snprintf(q->tags + len, sizeof(q->tags) - len, "%s%.*s", len > 0 ? "," : "",
                       VIEW_ARG(a->word));
        q->envelope.tags = view_of(q->tags);
    }
}

static void print_action(const struct rule_action *a, struct buf *out)
{
    bool reply = a->act != RULE_LIMIT; /* its words say nothing more */

    buf_printf(out, "%s%s", buf_len(out) > 0 ? ", " : "", rule_act_name(a->act));
    if (a->code > 0)
        buf_printf(out, " %u %s", a->code, a->enhanced);
    if (a->reply != NULL && reply)
        buf_printf(out, " %s", a->reply);
    if (a->word.len > 0)
        buf_printf(out, " %.*s", VIEW_ARG(a->word));
    if (a->text.len > 0)
        buf_printf(out, ": %.*s", VIEW_ARG(a->text));
}

static void print_unknown(const struct rule_conditions *c, unsigned known, struct buf *out)
{
    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        if (c->fields[i] != NULL && (known >> i & 1) == 0)
            buf_printf(out, "%s%s", buf_len(out) > 0 ? ", " : "",
                       rule_field_name((enum rule_field)i));
    }
    if (c->header_count > 0 && (known & RULE_KNOWS_HEADER) == 0)
        buf_printf(out, "%sheader", buf_len(out) > 0 ? ", " : "");
    if ((c->larger > 0 || c->smaller > 0) && (known & RULE_KNOWS_SIZE) == 0)
        buf_printf(out, "%ssize", buf_len(out) > 0 ? ", " : "");
}

static void tell_rule(struct question *q, const struct rule *rule, enum rule_match match)
{
    char room[2048], unknown_room[256];
    struct buf words = BUF_ON_ARRAY(room), unknown = BUF_ON_ARRAY(unknown_room);

    for (size_t i = 0; i < rule->action_count; i++)
        print_action(&rule->actions[i], &words);
    print_unknown(&rule->match, q->known, &unknown);
    print_unknown(&rule->except, q->known, &unknown);
    if (match == RULE_YES)
        steps_add(&q->steps, "rule", rule->origin, "%.*s%sat stage %s: %.*s", VIEW_ARG(rule->name),
                  rule->name.len > 0 ? ", " : "", rule_stage_name(rule->stage),
                  VIEW_ARG(buf_view(&words)));
    else
        steps_add(&q->steps, "perhaps", rule->origin, "%.*s%s%.*s; it asks for %.*s",
                  VIEW_ARG(rule->name), rule->name.len > 0 ? ": " : "", VIEW_ARG(buf_view(&words)),
                  VIEW_ARG(buf_view(&unknown)));
}

/* The act that decides; RULE_ACTS: no rule does. */
static enum rule_act tell_rules(struct question *q)
{
    const struct rules *r = q->settings->rules;

    for (size_t i = 0; i < r->count; i++) {
        const struct rule *rule = &r->all[i];
        enum rule_match match = rules_match(r, rule, &q->facts, q->known);

        if (match == RULE_NO)
            continue;
        if (match == RULE_FAILED) {
            steps_add(&q->steps, "rule", rule->origin,
                      "%.*s%sits pattern could not be matched within the limits: 451, try again "
                      "later",
                      VIEW_ARG(rule->name), rule->name.len > 0 ? ": " : "");
            return RULE_DEFER;
        }
        tell_rule(q, rule, match);
        if (match == RULE_PERHAPS) {
            q->uncertain = true;
            continue;
        }
        for (size_t j = 0; j < rule->action_count; j++)
            keep_action(q, &rule->actions[j]);
        if (rule->decision != NULL)
            return rule->decision->act;
    }
    if (r->count > 0)
        steps_add(&q->steps, "rules", origin_of(q, "rules"), "%s",
                  q->uncertain ? "no other rule decides" : "no rule decides");
    return RULE_ACTS;
}

/* ---- where it goes ---- */

/* `r`: NULL: none. REQUIRETLS of the message comes first. */
static void tell_tls(struct question *q, const struct route_settings *r)
{
    static const char *const tls[] = {
        [ROUTE_TLS_OFFERED] = "opportunistic: when the host offers it",
        [ROUTE_TLS_NONE] = "none",
        [ROUTE_TLS_ENCRYPT] = "encrypt: required, to whomever",
        [ROUTE_TLS_VERIFY] = "verify: required, with a certificate for the host",
    };

    if (q->envelope.require_tls && q->envelope.sender.len > 0)
        steps_add(&q->steps, "tls", NULL,
                  "verify, by REQUIRETLS of the message: and the host must promise the same");
    else
        steps_add(&q->steps, "tls", r != NULL ? r->origin : "default", "%s%s",
                  tls[r != NULL ? r->tls : ROUTE_TLS_OFFERED],
                  r != NULL && r->ca.len > 0 ? ", by the route's own authorities" : "");
}

/* Where it comes from, and as whom. */
static void tell_own_side(struct question *q, const struct route_settings *r)
{
    char room[2 * NET_ADDRESS_TEXT_MAX + 2];
    struct buf words = BUF_ON_ARRAY(room);

    for (size_t i = 0; i < r->source_count; i++) {
        if (i > 0)
            buf_put_byte(&words, ' ');
        (void)!net_print_address(&r->sources[i], &words);
    }
    if (r->source_count > 0)
        steps_add(&q->steps, "source", r->origin, "%.*s", VIEW_ARG(buf_view(&words)));
    if (r->auth_login.len > 0)
        steps_add(&q->steps, "login", r->origin, "%.*s, with a %s", VIEW_ARG(r->auth_login),
                  r->auth_password.len > 0  ? "password"
                  : r->auth_command.len > 0 ? "token that a command gets"
                                            : "token");
}

static void tell_route(struct question *q, const struct route_settings *r)
{
    char room[1024];
    struct buf words = BUF_ON_ARRAY(room);

    for (size_t i = 0; i < r->target_count; i++) {
        if (i > 0)
            buf_put(&words, r->balance ? VIEW(" or ") : VIEW(", then "));
        settings_print_target(&r->targets[i], &words);
    }
    steps_add(&q->steps, "route", r->origin, "%.*s%s%.*s", VIEW_ARG(r->name),
              r->name.len > 0 ? ": " : "", VIEW_ARG(buf_view(&words)));
    if (r->targets[0].kind > TARGET_PATH)
        return;
    tell_tls(q, r);
    tell_own_side(q, r);
}

static void tell_mailbox(struct question *q, const struct address *a)
{
    const struct mailbox_settings *m;
    enum mailbox_answer found = settings_find_mailbox(q->settings, a, &m);

    if (found == MAILBOX_HERE)
        steps_add(&q->steps, "mailbox", m->origin, "%.*s/%.*s", VIEW_ARG(q->settings->maildir.root),
                  VIEW_ARG(m->folder));
    else if (found == MAILBOX_UNSURE)
        steps_add(&q->steps, "mailbox", NULL, "nobody knows: a pattern takes too many steps");
    else
        steps_add(&q->steps, "mailbox", NULL, "there is none: the sender will hear so");
}

void explain_delivery(struct question *q, const struct address *a)
{
    char room[ADDRESS_MAX * 2];
    struct buf name = BUF_ON_ARRAY(room);
    struct hop hop;

    if (!settings_hop(q->settings, &q->envelope, a, &name, &hop)) {
        steps_add(&q->steps, "route", NULL,
                  "there is no way to such an address: the sender will hear so");
        return;
    }
    if (hop.kind == HOP_LOCAL) {
        tell_mailbox(q, a);
        return;
    }
    if (hop.route > 0)
        tell_route(q, &q->settings->routes[hop.route - 1]);
    if (hop.kind == HOP_HOST)
        steps_add(&q->steps, "route", NULL,
                  "no route takes it: the address in the recipient, port %llu",
                  (unsigned long long)q->settings->delivery.port);
    if (hop.kind == HOP_MX && hop.route == 0)
        steps_add(&q->steps, "route", NULL, "no route takes it: the MX hosts of %.*s",
                  VIEW_ARG(hop.host));
    if (hop.route == 0)
        tell_tls(q, NULL);
    explain_way(q, &hop);
    steps_add(&q->steps, "queue", NULL, "destination %.*s", VIEW_ARG(hop.name));
    if (q->live)
        explain_live(q, a, hop.name);
}

struct told_expansion {
    struct expansion expansion;
    struct question *question;
};

static bool on_expanded(struct expansion *x, const struct address *a)
{
    struct question *q = container_of(x, struct told_expansion, expansion)->question;

    for (unsigned i = 0; x->aliased && i < x->depth && i < EXPAND_DEPTH_MAX; i++) {
        if (x->path[i] != NULL)
            steps_add(&q->steps, "alias", x->path[i]->origin, "%.*s", VIEW_ARG(x->path[i]->name));
    }
    if (x->aliased)
        steps_add(&q->steps, "recipient", NULL, "%.*s%s%.*s", VIEW_ARG(a->local),
                  a->domain.len > 0 ? "@" : "", VIEW_ARG(a->domain));
    explain_delivery(q, a);
    return true;
}

static void tell_expanded(struct question *q)
{
    const struct policy_reply *reply;
    struct told_expansion x = {
        .expansion = { .settings = q->settings,
                       .has_mailbox = settings_has_mailbox,
                       .add = on_expanded },
        .question = q,
    };

    reply = policy_reply(policy_of(expand_rcpt(&x.expansion, &q->to)));
    if (reply->code >= 400)
        steps_add(&q->steps, "refused", NULL, "%u %s to RCPT: %s", reply->code, reply->enhanced,
                  reply->text);
}

static bool tell_recipient(struct question *q)
{
    const struct domain_settings *d = settings_domain(q->settings, q->to.domain);
    enum policy_verdict v = policy_rcpt(q->settings, q->trusted, &q->to);
    const struct policy_reply *reply = policy_reply(v);
    const char *origin = d != NULL ? d->origin : NULL;

    if (reply->code >= 400) {
        steps_add(&q->steps, "refused", origin, "%u %s to RCPT: %s", reply->code, reply->enhanced,
                  reply->text);
        return false;
    }
    steps_add(&q->steps, "recipient", origin, "%s",
              v == POLICY_LOCAL          ? "one of ours"
              : v == POLICY_RELAY_DOMAIN ? "in a domain that we relay for"
                                         : "elsewhere, which the client may send to");
    return true;
}

/* ---- a question ---- */

static const char *explain(struct question *q)
{
    enum rule_act act;

    if (!tell_listener(q) || !tell_trust(q) || !tell_sender(q))
        return "refused";
    act = tell_rules(q);
    if (act == RULE_REFUSE || act == RULE_DEFER)
        return act == RULE_REFUSE ? "refused" : "deferred";
    if (!tell_recipient(q))
        return "refused";
    if (act == RULE_DISCARD)
        return "discarded";
    if (expand_is_ours(q->settings, &q->to))
        tell_expanded(q);
    else
        explain_delivery(q, &q->to);
    if (act == RULE_HOLD)
        return "held";
    return q->uncertain ? "accepted, unless a rule decides that asks for more" : "accepted";
}

static const struct listener_settings *find_listener(const struct settings *s, struct view name)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        if (name.len == 0 || view_equal_nocase(s->listeners[i].name, name))
            return &s->listeners[i];
    }
    return NULL;
}

struct words { /* of the call; NULL: not said */
    const char *from, *to, *login, *client, *name, *helo, *listener, *tls;
};

static bool is_protocol(const char *tls)
{
    return strcasecmp(tls, "none") == 0 || strcmp(tls, "TLSv1.2") == 0 ||
           strcmp(tls, "TLSv1.3") == 0;
}

static int read_words(struct question *q, const struct words *w)
{
    static char key_room[ADDRESS_MAX + 2];
    static struct rules_recipient_room room;
    struct buf key = BUF_ON_ARRAY(key_room);
    struct view from = view_of(w->from);

    q->listener = find_listener(q->settings, view_of(w->listener));
    if (q->listener == NULL)
        return trouble("there is no listener %s", w->listener);
    if (view_equal(from, VIEW("<>")))
        from = VIEW_EMPTY;
    if (from.len > 0 && !address_parse(from, true, &q->from))
        return trouble("%s is no address", w->from);
    if (!address_parse(view_of(w->to), true, &q->to))
        return trouble("%s is no address", w->to);
    if (w->client != NULL && !net_parse_address(view_of(w->client), &q->client))
        return trouble("%s is no IP address", w->client);
    if (w->tls != NULL && !is_protocol(w->tls))
        return wrong_use("%s is no TLS: none, TLSv1.2 or TLSv1.3", w->tls);
    q->facts = (struct rule_facts){
        .listener = q->listener->name,
        .client = &q->client,
        .client_name = view_of(w->name),
        .login = view_of(w->login),
        .helo = view_of(w->helo),
        .sender = rules_address(from, &key),
        .tls = view_of(w->tls),
        .week_minute = clock_week_minute(clock_wall_ms()),
    };
    rules_set_recipient(&q->facts, q->settings, view_of(w->to), &room);
    if (w->tls == NULL && q->listener->tls >= LISTENER_TLS_IMPLICIT)
        q->facts.tls = VIEW("TLSv1.3");
    else if (view_equal_nocase(q->facts.tls, VIEW("none")))
        q->facts.tls = VIEW_EMPTY;
    q->known = rule_known_at(RULE_AT_RCPT);
    if (w->client == NULL)
        q->known &= ~(1u << RULE_CLIENT);
    if (w->name == NULL)
        q->known &= ~(1u << RULE_CLIENT_NAME);
    if (w->helo == NULL)
        q->known &= ~(1u << RULE_HELO);
    q->envelope = (struct envelope){ .sender = from, .login = q->facts.login };
    return EXIT_SUCCESS;
}

static int prepare(const struct settings *s)
{
    struct error err = { "" };

    clock_load_zone();
    if (!s->rules->prepared && rules_prepare(s->rules, &err) < 0)
        return trouble("%s", err.text);
    for (size_t i = 0; i < s->rules->list_count; i++) {
        struct rule_list *l = &s->rules->lists[i];
        int fd = rule_list_open(l, &err);
        struct view bytes = fd >= 0 ? rule_list_read(fd, &err) : VIEW_EMPTY;

        if (fd >= 0)
            close(fd);
        if (bytes.ptr == NULL)
            return trouble("%s", err.text);
        rule_list_load(l, bytes);
        free((char *)(uintptr_t)bytes.ptr);
    }
    return EXIT_SUCCESS;
}

static int end(struct question *q, int status)
{
    ways_close(&q->ways);
    return status;
}

int command_explain(const struct invocation *in)
{
    static const struct option options[] = {
        { "from", required_argument, NULL, 'f' },
        { "to", required_argument, NULL, 't' },
        { "login", required_argument, NULL, 'l' },
        { "client", required_argument, NULL, 'c' },
        { "name", required_argument, NULL, 'n' },
        { "helo", required_argument, NULL, 'h' },
        { "listener", required_argument, NULL, 'i' },
        { "tls", required_argument, NULL, 's' },
        { NULL, 0, NULL, 0 },
    };
    struct question q = {
        .config = in->config, .settings = in->settings, .live = true, .steps = { .json = in->json }
    };
    struct words w = { .from = NULL };
    const char **const places[256] = {
        ['f'] = &w.from, ['t'] = &w.to,   ['l'] = &w.login,    ['c'] = &w.client,
        ['n'] = &w.name, ['h'] = &w.helo, ['i'] = &w.listener, ['s'] = &w.tls,
    };
    int option, status;

    if (config_error_count(in->config) > 0)
        return trouble("the configuration has mistakes");
    optind = 0;
    while ((option = getopt_long(in->argc, in->argv, "", options, NULL)) != -1) {
        if (option > 0 && option < 256 && places[option] != NULL)
            *places[option] = optarg;
        else
            return EXIT_WRONG_USE;
    }
    if (optind + 1 == in->argc && w.from == NULL && w.to == NULL)
        return end(&q, explain_message(&q, view_of(in->argv[optind])));
    if (optind < in->argc || w.from == NULL || w.to == NULL)
        return wrong_use("explain takes --from and --to, or the id of a message in the queue");
    status = prepare(in->settings);
    if (status == EXIT_SUCCESS)
        status = read_words(&q, &w);
    if (status != EXIT_SUCCESS)
        return status;
    steps_begin(&q.steps, q.facts.sender, q.facts.recipient);
    steps_end(&q.steps, explain(&q));
    return end(&q, EXIT_SUCCESS);
}
