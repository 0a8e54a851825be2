#include "mail/trace.h"
#include "smtpd/commands.h"
#include "smtpd/extensions.h"

#include <assert.h>
#include <stdio.h>

enum {
    TRACE_MAX = 2048,  /* bytes of the Received field */
    HELD_BACK_MAX = 8, /* bytes of a line end that the receiver gives out with the next piece */
};

void content_begin(struct session *s)
{
    s->transaction.arrival_ms = s->now_ms;
    s->transaction.head.collecting = s->rules->needs_header;
    s->message_count++;
    snprintf(s->id_text, sizeof(s->id_text), "%016llx.%u", (unsigned long long)s->id,
             s->message_count);
}

/* data = "DATA" CRLF; RFC 5321, 4.1.1.4 */
struct step run_data(struct session *s, struct view args)
{
    (void)args;
    content_begin(s);
    return step_accept(SESSION_CONTENT, 354, NULL, "End data with <CR><LF>.<CR><LF>");
}

/* RFC 5321, 4.4: on top of the content. */
static void put_trace(struct session *s)
{
    char room[TRACE_MAX];
    struct buf field = BUF_ON_ARRAY(room);
    struct envelope e;

    session_envelope(s, &e);
    if (s->rules->listener->hide_client) {
        e.client = VIEW_EMPTY;
        e.helo = VIEW("hidden.invalid"); /* there must be a name; this one is nobody's (RFC 6761) */
    }
    if (trace_received(&e, view_of(s->rules->hostname), &field))
        content_put(&s->transaction.content, buf_view(&field));
    s->transaction.traced = true;
}

/* The rest is read to its end, since what follows must never be taken for a command. */
static void give_up_content(struct transaction *t)
{
    t->too_large = true;
    content_clear(&t->content);
}

static bool is_wanted(const struct transaction *t)
{
    return !t->too_large && t->trouble == SPOOL_FINE && t->screen.refused == NULL &&
           t->to.count > 0;
}

/* ---- the header, where it is looked at as a whole first ---- */

static void collect(struct session *s, struct view piece)
{
    struct transaction *t = &s->transaction;

    if (head_put(&t->head, s->rules->budget, piece))
        return;
    if (t->head.len > HEAD_MAX)
        t->too_large = true;
    else
        t->trouble = SPOOL_FULL;
}

/* The header is whole: the rules see it. */
static void end_header(struct session *s)
{
    struct transaction *t = &s->transaction;

    t->head.collecting = false;
    t->head.waiting = true;
    if (is_wanted(t))
        screen_message(s, RULE_AT_HEADER, body_header(head_view(&t->head)));
}

/* As the rules want it, with what came of the body. */
static void write_head(struct session *s)
{
    struct transaction *t = &s->transaction;
    struct view whole = head_view(&t->head), header = body_header(whole);
    size_t most = header.len + screen_header_growth(s);
    struct buf out;
    bool fits;

    buf_new(&out, MAX(most, 1));
    fits = screen_write_header(s, header, &out);
    assert(fits);
    content_put(&t->content, buf_view(&out));
    content_put(&t->content, view_from(whole, header.len));
    buf_free(&out);
}

/* False: a file is needed first. */
static bool pass_head(struct session *s)
{
    struct transaction *t = &s->transaction;

    if (is_wanted(t)) {
        if (!content_reserve(&t->content, t->head.len + screen_header_growth(s) + TRACE_MAX))
            return false;
        put_trace(s);
        write_head(s);
    } else {
        content_clear(&t->content);
    }
    t->head.waiting = false;
    /* Rules of the end may ask for it again. */
    if (!is_wanted(t) || !s->rules->settings->rules->at[RULE_AT_END])
        head_clear(&t->head, s->rules->budget);
    return true;
}

/* After each piece of content. False: a file is needed first. */
static bool settle_head(struct session *s, bool is_all)
{
    struct transaction *t = &s->transaction;

    if (t->head.collecting && (t->header.ended || is_all))
        end_header(s);
    return !t->head.waiting || pass_head(s);
}

void data_resume(struct session *s)
{
    if (s->transaction.head.waiting && !pass_head(s))
        assert(false); /* with a file there is always room */
}

/* ---- what follows ---- */

void content_keep(struct session *s, struct view bytes)
{
    if (auth_checks_from(s))
        from_scan_feed(&s->transaction.from, &s->transaction.arena, bytes);
    if (s->transaction.head.collecting)
        collect(s, bytes);
    else
        content_put(&s->transaction.content, bytes);
}

static void put_piece(struct session *s, struct view piece)
{
    if (!is_wanted(&s->transaction))
        return;
    if (submission_is_here(s))
        submission_put(s, piece);
    else
        content_keep(s, piece);
}

/* The content is over. */
static void end_content(struct session *s)
{
    if (submission_is_here(s) && is_wanted(&s->transaction))
        submission_end(s);
}

static void keep_piece(struct session *s, struct view piece)
{
    struct transaction *t = &s->transaction;

    if (!t->header.ended)
        header_scan_feed(&t->header, piece);
    if (is_wanted(t) && t->receiver.bytes > s->rules->listener->limits.message_bytes)
        give_up_content(t);
    put_piece(s, piece);
}

/* For so much more content. False: a file is needed first. */
static bool make_room(struct session *s, size_t bytes)
{
    struct transaction *t = &s->transaction;
    size_t most = bytes + HELD_BACK_MAX + (t->traced ? 0 : TRACE_MAX) +
                  (submission_is_here(s) ? submission_growth(s, bytes) : 0);

    if (t->head.collecting) /* its memory grows by itself */
        return true;
    if (is_wanted(t) && !content_reserve(&t->content, most))
        return false;
    if (is_wanted(t) && !t->traced)
        put_trace(s);
    return true;
}

bool data_take(struct session *s, struct view *input)
{
    struct transaction *t = &s->transaction;
    struct view piece;

    if (!make_room(s, input->len))
        return false;
    while (body_receive(&t->receiver, input, &piece))
        keep_piece(s, piece);
    if (t->receiver.done)
        end_content(s);
    return settle_head(s, t->receiver.done);
}

/* ---- the end ---- */

/* Kept by nobody, and the client does not learn of it. */
static struct step discard(struct session *s)
{
    content_clear(&s->transaction.content);
    screen_tell_dropped(s);
    screen_tell_discarded(s, s->transaction.screen.discarded, VIEW_EMPTY);
    s->errors = 0;
    return step_accept(SESSION_READY, 250, "2.0.0", "Ok");
}

/* A message as it is to be kept. */
static struct step finish_screened(struct session *s)
{
    struct transaction *t = &s->transaction;
    const struct charge *refusal;
    struct step step;

    screen_message(s, RULE_AT_END, body_header(head_view(&t->head)));
    if (t->screen.refused != NULL) {
        step = step_rule(s, t->screen.refused);
        step.next = SESSION_READY;
        return step;
    }
    if (t->to.count == 0)
        return discard(s);
    refusal = charges_refusal(s);
    if (refusal != NULL) {
        step = step_charged(s, refusal);
        step.next = SESSION_READY;
        return step;
    }
    charges_take(s);
    screen_tell_dropped(s);
    if (screen_sets_apart(s))
        recipients_unite(t);
    if (!screen_describe(s))
        return step_accept(SESSION_READY, 451, "4.3.5", "Too many rules ask for this message");
    return (struct step){ .next = SESSION_CONTENT, .wish = WISH_COMMIT };
}

/* Code 0: nothing is wrong so far. */
static struct step check_content(const struct session *s)
{
    const struct transaction *t = &s->transaction;

    if (t->receiver.bare_cr || t->receiver.bare_lf)
        return step_accept(SESSION_READY, 550, "5.5.2", "Bare CR or LF in the message");
    if (t->receiver.nul) /* RFC 5322, 2.2 and RFC 6152, 2 have none */
        return step_accept(SESSION_READY, 550, "5.6.0", "NUL in the message");
    if (t->too_large)
        return step_accept(SESSION_READY, 552, "5.3.4", "Message too large");
    if (t->header.received > s->rules->listener->limits.hops)
        return step_accept(SESSION_READY, 554, "5.4.6", "Too many hops: the mail goes in circles");
    if (t->trouble != SPOOL_FINE)
        return step_trouble(SESSION_READY, t->trouble);
    return step_accept(SESSION_CONTENT, 0, NULL, NULL);
}

struct step data_finish(struct session *s)
{
    struct step step = check_content(s);

    if (step.code != 0)
        return step;
    if (auth_checks_from(s) && s->transaction.from.no_room)
        return step_trouble(SESSION_READY, SPOOL_FULL);
    if (auth_checks_from(s) && !auth_owns_from(s)) /* all of it is there only now */
        return step_accept(SESSION_READY, 550, "5.7.1",
                           "The From field has an address that does not belong to your login");
    return finish_screened(s);
}

/* ---- chunks ---- */

/* bdat-cmd = "BDAT" SP chunk-size [ SP "LAST" ] CRLF */
static bool take_chunk_args(struct view args, uint64_t *size, bool *last)
{
    struct view number = view_take_word(&args);

    args = view_trim(args);
    *last = view_equal_nocase(args, VIEW("LAST"));
    return number.len <= 20 && view_to_u64(number, UINT64_MAX, size) && (args.len == 0 || *last);
}

/* A chunk is read to its end whatever is wrong with it, or the session ends: its bytes must never
 * be taken for commands. RFC 3030, 2 */
struct step run_bdat(struct session *s, struct view args)
{
    struct transaction *t = &s->transaction;
    uint64_t size;
    bool last;

    if (!extension_on(s, EXTENSION_CHUNKING))
        return step_refuse(s, 500, "5.5.1", "Command unrecognized");
    if (!take_chunk_args(args, &size, &last))
        return step_close(501, "5.5.4", "Syntax: BDAT size [LAST]");
    if (s->state != SESSION_RCPT && s->state != SESSION_CHUNKS) {
        s->refused_size = s->refused_bytes = size;
        return step_refuse(s, 503, "5.5.1", "Bad sequence of commands");
    }
    if (s->state == SESSION_RCPT)
        content_begin(s);
    t->chunked = true;
    t->chunk_left = size;
    t->last = last;
    if (size > s->rules->listener->limits.message_bytes -
                   MIN(t->receiver.bytes, s->rules->listener->limits.message_bytes))
        give_up_content(t);
    return size == 0 ? chunk_finish(s) : step_accept(SESSION_CONTENT, 0, NULL, NULL);
}

bool chunk_take(struct session *s, struct view *input)
{
    struct transaction *t = &s->transaction;
    struct view bytes = view_sub(*input, 0, (size_t)MIN(t->chunk_left, (uint64_t)input->len));

    if (!make_room(s, bytes.len))
        return false;
    body_count(&t->receiver, bytes);
    keep_piece(s, bytes);
    t->chunk_left -= bytes.len;
    *input = view_from(*input, bytes.len);
    return settle_head(s, false);
}

/* Content is kept as whole lines. What was held back of earlier chunks may need more room than the
 * last one left, and it runs again when there is a file. */
static struct step finish_message(struct session *s)
{
    struct transaction *t = &s->transaction;

    if (!make_room(s, 0))
        return (struct step){ .next = SESSION_CONTENT, .wish = WISH_OPEN };
    if (!body_is_whole(&t->receiver)) {
        body_count(&t->receiver, VIEW("\r\n"));
        put_piece(s, VIEW("\r\n"));
    }
    end_content(s);
    if (!settle_head(s, true))
        return (struct step){ .next = SESSION_CONTENT, .wish = WISH_OPEN };
    return data_finish(s);
}

struct step chunk_finish(struct session *s)
{
    struct step step;

    if (s->transaction.last)
        return finish_message(s);
    step = check_content(s);
    if (step.code != 0)
        return step;
    snprintf(s->words, sizeof(s->words), "%llu octets so far",
             (unsigned long long)s->transaction.receiver.bytes);
    return step_accept(SESSION_CHUNKS, 250, "2.0.0", s->words);
}
