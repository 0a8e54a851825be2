#include "mail/outcome.h"

#include "mail/fields.h"

static const char *const class_names[OUTCOME_CLASSES] = {
    [OUTCOME_DELIVERED] = "delivered",
    [OUTCOME_DEFERRED] = "deferred",
    [OUTCOME_FAILED] = "failed",
};

static const char *const scope_names[OUTCOME_SCOPES] = {
    [SCOPE_RCPT] = "rcpt",     [SCOPE_MESSAGE] = "message",
    [SCOPE_DOMAIN] = "domain", [SCOPE_DESTINATION] = "destination",
    [SCOPE_SPOOL] = "spool",   [SCOPE_DISK] = "disk",
};

const char *outcome_class_name(enum outcome_class c)
{
    return class_names[c];
}

/* Cut to the limit, but not within a character of UTF-8. */
static struct view cut_text(struct view text)
{
    size_t len = OUTCOME_TEXT_MAX;

    if (text.len <= len)
        return text;
    while (len > OUTCOME_TEXT_MAX - 4 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len--;
    return view_sub(text, 0, len);
}

static bool put_enhanced(struct buf *out, struct enhanced e)
{
    char room[16];
    struct buf text = BUF_ON_ARRAY(room);

    return enhanced_print(e, &text) && fields_put(out, "enhanced", buf_view(&text));
}

static bool put_text(struct buf *out, const char *key, struct view text)
{
    return text.len == 0 || fields_put(out, key, text);
}

bool outcome_encode(const struct outcome *o, struct buf *out)
{
    size_t mark = buf_len(out);

    if (fields_put(out, "class", view_of(class_names[o->class])) &&
        fields_put(out, "scope", view_of(scope_names[o->scope])) &&
        (o->code == 0 || fields_put_u64(out, "code", o->code)) && put_enhanced(out, o->enhanced) &&
        put_text(out, "text", cut_text(o->text)) && put_text(out, "host", o->host) &&
        put_text(out, "doing", o->doing) && put_text(out, "tls", o->tls) &&
        put_text(out, "dsn", o->dsn ? VIEW("yes") : VIEW_EMPTY) &&
        put_text(out, "final", o->final ? VIEW("yes") : VIEW_EMPTY))
        return true;
    buf_truncate(out, mark);
    return false;
}

static bool find_name(const char *const *names, unsigned count, struct view value, unsigned *found)
{
    for (unsigned i = 0; i < count; i++) {
        if (view_equal(value, view_of(names[i]))) {
            *found = i;
            return true;
        }
    }
    return false;
}

/* What decoding collects; `class` and `scope` start beyond their enums. */
struct draft {
    struct outcome *out;
    unsigned class, scope;
};

static bool read_code(struct outcome *o, struct view value)
{
    uint64_t code;

    if (!view_to_u64(value, 599, &code) || code < 200)
        return false;
    o->code = (unsigned)code;
    return true;
}

static bool read_field(struct draft *d, struct view key, struct view value)
{
    if (view_equal(key, VIEW("class")))
        return find_name(class_names, OUTCOME_CLASSES, value, &d->class);
    if (view_equal(key, VIEW("scope")))
        return find_name(scope_names, OUTCOME_SCOPES, value, &d->scope);
    if (view_equal(key, VIEW("code")))
        return read_code(d->out, value);
    if (view_equal(key, VIEW("enhanced")))
        return enhanced_take(&value, &d->out->enhanced) && value.len == 0;
    if (view_equal(key, VIEW("text")))
        d->out->text = value;
    else if (view_equal(key, VIEW("host")))
        d->out->host = value;
    else if (view_equal(key, VIEW("doing")))
        d->out->doing = value;
    else if (view_equal(key, VIEW("tls")))
        d->out->tls = value;
    else if (view_equal(key, VIEW("dsn")))
        d->out->dsn = view_equal(value, VIEW("yes"));
    else if (view_equal(key, VIEW("final")))
        d->out->final = view_equal(value, VIEW("yes"));
    return true;
}

bool outcome_decode(struct view bytes, struct arena *arena, struct outcome *out)
{
    struct draft d = { out, OUTCOME_CLASSES, OUTCOME_SCOPES };
    enum fields_result result;
    struct view key, value;

    *out = (struct outcome){ .code = 0 };
    while ((result = fields_take(&bytes, arena, &key, &value)) == FIELDS_NEXT) {
        if (!read_field(&d, key, value))
            return false;
    }
    if (result != FIELDS_END || d.class == OUTCOME_CLASSES || d.scope == OUTCOME_SCOPES)
        return false;
    out->class = (enum outcome_class)d.class;
    out->scope = (enum outcome_scope)d.scope;
    return out->enhanced.class != 0 && out->text.len <= OUTCOME_TEXT_MAX;
}

/* Line ends and other control bytes become blanks: the result stays one line. */
static bool print_flat(struct view text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (!buf_put_byte(out, c < 32 || c == 127 ? ' ' : text.ptr[i]))
            return false;
    }
    return true;
}

static bool print_place(const struct outcome *o, struct buf *out)
{
    if (o->host.len == 0 && o->doing.len == 0)
        return true;
    return buf_put(out, VIEW(" (")) && print_flat(o->host, out) &&
           (o->host.len == 0 || o->doing.len == 0 || buf_put(out, VIEW(", "))) &&
           (o->doing.len == 0 || buf_put(out, VIEW("while "))) && print_flat(o->doing, out) &&
           buf_put_byte(out, ')');
}

static bool print_code(const struct outcome *o, struct buf *out)
{
    return o->code == 0 || (buf_put_u64(out, o->code) && buf_put_byte(out, ' ') &&
                            enhanced_print(o->enhanced, out) && buf_put_byte(out, ' '));
}

bool outcome_print(const struct outcome *o, struct buf *out)
{
    size_t mark = buf_len(out);

    if (print_code(o, out) && print_flat(o->text, out) && print_place(o, out))
        return true;
    buf_truncate(out, mark);
    return false;
}
