#include "auth/checker.h"

#include "auth/sasl.h"
#include "common/memory.h"
#include "common/text.h"

#include <stdlib.h>

static const char unreadable[] = "the user file cannot be read";

static struct checker *checker_of(struct source *s)
{
    return container_of(s, struct checker, source);
}

/* ---- passwords ---- */

static void run_next(struct checker *c)
{
    if (!list_empty(&c->waiting) && !timer_running(&c->next))
        loop_start_timer(c->source.desk->loop, &c->next, 0);
}

/* Who does not exist costs the same time. */
static void check_password(struct checker *c, struct exchange *e)
{
    const struct sasl *s = e->work;
    struct view login = sasl_login(s), password = view_make(s->password, s->password_len);
    struct user *who = users_find(&c->users, login);
    struct scram_keys keys;
    bool fits;

    users_make_keys(&c->users, login, &keys);
    fits = scram_password_fits(who != NULL ? &who->keys : &keys, password);
    if (who == NULL) {
        exchange_end(e, LOGIN_REFUSED, login, "no such user");
    } else if (!fits) {
        exchange_end(e, LOGIN_REFUSED, login, "wrong password");
    } else {
        users_remember(&c->users, who, password);
        exchange_end(e, LOGIN_OK, view_make(who->login, who->login_len), NULL);
    }
}

static void on_next(struct timer *t)
{
    struct checker *c = container_of(t, struct checker, next);
    struct list *first = list_take_first(&c->waiting);
    struct exchange *e;

    if (first == NULL)
        return;
    c->waiting_count--;
    e = container_of(first, struct exchange, link);
    /* Those before it may have been too many. */
    if (!exchange_blocked(e, sasl_login(e->work)))
        check_password(c, e);
    run_next(c);
}

static void check_later(struct checker *c, struct exchange *e)
{
    const struct sasl *s = e->work;
    struct view login = sasl_login(s);
    struct user *who = users_find(&c->users, login);
    bool known;

    if (exchange_blocked(e, login))
        return;
    if (who != NULL && users_recognize(&c->users, who, view_make(s->password, s->password_len))) {
        exchange_end(e, LOGIN_OK, view_make(who->login, who->login_len), NULL);
        return;
    }
    known = tries_knows(&c->source.desk->tries, &e->client, login);
    if (!known && c->waiting_count >= CHECKER_WAITING_MAX) {
        exchange_end(e, LOGIN_TEMPORARY, login, "too many passwords to check at once");
        return;
    }
    /* Who was here before does not wait for strangers, who may be many. */
    if (known)
        list_insert_after(&c->waiting, &e->link);
    else
        list_append(&c->waiting, &e->link);
    c->waiting_count++;
    run_next(c);
}

/* ---- exchanges ---- */

static enum sasl_step look_up(struct checker *c, struct sasl *s, struct buf *out)
{
    const struct user *who = users_find(&c->users, sasl_login(s));
    char bytes[SCRAM_OWN_NONCE_BYTES], room[2 * SCRAM_OWN_NONCE_BYTES];
    struct buf nonce = BUF_ON_ARRAY(room);
    struct scram_keys keys;

    users_make_keys(&c->users, sasl_login(s), &keys);
    scram_random(bytes, sizeof(bytes));
    if (!base64_encode(view_make(bytes, sizeof(bytes)), &nonce))
        return SASL_REFUSED;
    return sasl_say_keys(s, who != NULL ? &who->keys : &keys, buf_view(&nonce), out);
}

static void accept_proven(struct checker *c, struct exchange *e)
{
    const struct user *who = users_find(&c->users, sasl_login(e->work));

    if (who != NULL)
        exchange_end(e, LOGIN_OK, view_make(who->login, who->login_len), NULL);
    else /* removed since the exchange began */
        exchange_end(e, LOGIN_REFUSED, sasl_login(e->work), "no such user");
}

static void take_step(struct checker *c, struct exchange *e, enum sasl_step step, struct buf *out)
{
    struct sasl *s = e->work;

    if (step == SASL_LOOK_UP) {
        if (exchange_blocked(e, sasl_login(s)))
            return;
        step = look_up(c, s, out);
    }
    switch (step) {
    case SASL_CHALLENGE:
        exchange_challenge(e, buf_view(out));
        return;
    case SASL_PASSWORD:
        check_later(c, e);
        return;
    case SASL_PROVEN:
        accept_proven(c, e);
        return;
    case SASL_LOOK_UP:
    case SASL_REFUSED:
        break;
    }
    exchange_end(e, LOGIN_REFUSED, sasl_login(s), s->why);
}

static void on_begin(struct source *source, struct exchange *e, const struct message_login_begin *m)
{
    struct checker *c = checker_of(source);
    const struct scram_bindings bindings = { m->exporter, m->unique };
    char room[SASL_CHALLENGE_MAX];
    struct buf out = BUF_ON_ARRAY(room);
    struct sasl *s;

    if (!users_look(&c->users, source->desk->loop->now_ms)) {
        exchange_end(e, LOGIN_TEMPORARY, VIEW_EMPTY, unreadable);
        return;
    }
    s = e->work = memory_new(sizeof(*s));
    if (!sasl_init(s, m->mechanism, &bindings)) {
        exchange_end(e, LOGIN_REFUSED, VIEW_EMPTY, "no such mechanism");
        return;
    }
    take_step(c, e, m->initial ? sasl_hear(s, m->response, &out) : sasl_begin(s, &out), &out);
}

static void on_hear(struct source *source, struct exchange *e, struct view response)
{
    char room[SASL_CHALLENGE_MAX];
    struct buf out = BUF_ON_ARRAY(room);
    struct sasl *s = e->work;

    /* Here a proof is decided on: not when too many have failed since it began. */
    if (s->login_len > 0 && exchange_blocked(e, sasl_login(s)))
        return;
    take_step(checker_of(source), e, sasl_hear(s, response, &out), &out);
}

static void on_forget(struct source *source, struct exchange *e)
{
    if (!list_empty(&e->link)) {
        list_remove(&e->link);
        checker_of(source)->waiting_count--;
    }
    if (e->work != NULL)
        sasl_release(e->work);
    free(e->work);
    e->work = NULL;
}

void checker_init(struct checker *c, const char *path)
{
    *c = (struct checker){ .source = { .begin = on_begin, .hear = on_hear, .forget = on_forget },
                           .next.fire = on_next };
    users_init(&c->users, path);
    list_init(&c->waiting);
}
