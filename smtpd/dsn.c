/* What clients say of the notices they want: parameters of MAIL and RCPT (RFC 3461, 4). */
#include "common/text.h"
#include "mail/xtext.h"
#include "smtpd/commands.h"

enum {
    ENVID_MAX = 100, /* bytes, as xtext; RFC 3461, 4.4 */
    ORCPT_MAX = 500, /* bytes, as it stands in the command; RFC 3461, 4.2 */
};

static struct step fine(const struct session *s)
{
    return step_accept(s->state, 0, NULL, NULL);
}

/* ret-value = "FULL" / "HDRS" */
struct step take_ret(struct session *s, struct view value)
{
    struct envelope *said = &s->transaction.said;

    if (view_equal_nocase(value, VIEW("FULL")))
        said->returns = RETURN_FULL;
    else if (view_equal_nocase(value, VIEW("HDRS")))
        said->returns = RETURN_HEADERS;
    else
        return step_refuse(s, 501, "5.5.4", "Bad RET value: FULL or HDRS");
    return fine(s);
}

/* Line ends and other controls have no place in a report. */
static bool is_printable(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if ((c < ' ' && c != '\t') || c == 127)
            return false;
    }
    return text.len > 0;
}

/* envid-parameter = "ENVID=" xtext, of printable ASCII */
struct step take_envid(struct session *s, struct view value)
{
    struct transaction *t = &s->transaction;
    char room[ENVID_MAX];
    struct buf id = BUF_ON_ARRAY(room);

    if (value.len > ENVID_MAX || !xtext_decode(value, &id) || !is_printable(buf_view(&id)) ||
        !text_is_ascii(buf_view(&id)))
        return step_refuse(s, 501, "5.5.4", "Bad ENVID value: xtext of at most 100 characters");
    if (!arena_copy(&t->arena, buf_view(&id), &t->said.envelope_id))
        return step_refuse(s, 452, "4.3.1", "Out of room for addresses");
    return fine(s);
}

static bool take_notify_word(struct view word, unsigned *notify)
{
    static const struct {
        struct view word;
        unsigned bit;
    } words[] = {
        { VIEW_INIT("SUCCESS"), NOTIFY_SUCCESS },
        { VIEW_INIT("FAILURE"), NOTIFY_FAILURE },
        { VIEW_INIT("DELAY"), NOTIFY_DELAY },
    };

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (view_equal_nocase(words[i].word, word)) {
            *notify |= words[i].bit;
            return true;
        }
    }
    return false;
}

/* notify-esmtp-value = "NEVER" / 1#notify-list-element */
struct step take_notify(struct session *s, struct view value)
{
    unsigned *notify = &s->transaction.rcpt.notify;
    bool good = value.len > 0 && value.ptr[value.len - 1] != ',';

    if (view_equal_nocase(value, VIEW("NEVER"))) {
        *notify = NOTIFY_NEVER;
        return fine(s);
    }
    while (good && value.len > 0)
        good = take_notify_word(view_take_until(&value, ','), notify);
    if (!good)
        return step_refuse(s, 501, "5.5.4",
                           "Bad NOTIFY value: NEVER, or some of SUCCESS,FAILURE,DELAY");
    return fine(s);
}

/* addr-type = atom */
static bool is_type(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!byte_is_alnum(text.ptr[i]) && !view_has(VIEW("!#$%&'*+-/=?^_`{|}~"), text.ptr[i]))
            return false;
    }
    return text.len > 0;
}

/* An address in UTF-8 is allowed as xtext, and in the forms of RFC 6533, 3. */
static bool decode_orcpt(struct view value, struct buf *out)
{
    size_t type_len = view_find(value, ';');
    struct view type = view_sub(value, 0, type_len), address = view_from(value, type_len + 1);
    char room[ORCPT_MAX];
    struct buf decoded = BUF_ON_ARRAY(room);
    bool unicode = view_equal_nocase(type, VIEW("utf-8"));

    return value.len <= ORCPT_MAX && is_type(type) &&
           (unicode ? xtext_decode_unicode(address, &decoded) : xtext_decode(address, &decoded)) &&
           is_printable(buf_view(&decoded)) && utf8_valid(buf_view(&decoded)) &&
           buf_printf(out, "%.*s;%.*s", VIEW_ARG(type), VIEW_ARG(buf_view(&decoded)));
}

/* original-recipient-address = addr-type ";" xtext */
struct step take_orcpt(struct session *s, struct view value)
{
    struct envelope_rcpt *rcpt = &s->transaction.rcpt;
    char room[ORCPT_MAX + 1];
    struct buf original = BUF_ON_ARRAY(room);

    if (!decode_orcpt(value, &original))
        return step_refuse(s, 501, "5.5.4", "Bad ORCPT value: type;xtext");
    if (!arena_copy(&s->transaction.arena, buf_view(&original), &rcpt->original))
        return step_refuse(s, 452, "4.3.1", "Out of room for addresses");
    return fine(s);
}
