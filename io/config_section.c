/* Items of a section: types, ranges, defaults, suggestions. */
#include "common/attrs.h"
#include "io/config_node.h"

#include <string.h>

enum {
    RATE_SPAN_MAX_MS = 86400000,
    NAME_MAX_BYTES = 64, /* longer names have no suggestion */
    LABEL_MAX = 63,      /* octets; RFC 1035, 2.3.4 */
    HOST_MAX = 253,
};

/* Numbers with units */

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* Largest first, for printing; the empty one is what a bare number means. */
static const struct unit byte_units[] = {
    { "G", 1ULL << 30 }, { "M", 1ULL << 20 }, { "K", 1ULL << 10 }, { "", 1 }, { NULL, 0 },
};

static const struct unit time_units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
    { "ms", 1 },       { "", 1000 },     { NULL, 0 },
};

static bool parse_unit(const struct unit *units, struct view suffix, uint64_t *factor)
{
    for (const struct unit *u = units; u->suffix != NULL; u++) {
        if (view_equal_nocase(suffix, view_of(u->suffix))) {
            *factor = u->factor;
            return true;
        }
    }
    return false;
}

static bool parse_amount(const struct unit *units, struct view text, uint64_t *out)
{
    size_t digits = 0;
    uint64_t number, factor;

    while (digits < text.len && byte_is_digit(text.ptr[digits]))
        digits++;
    return parse_unit(units, view_from(text, digits), &factor) &&
           view_to_u64(view_sub(text, 0, digits), UINT64_MAX / factor, &number) &&
           !__builtin_mul_overflow(number, factor, out);
}

/* 2, 1.5, 1.125: thousandths. */
static bool parse_factor(struct view text, uint64_t *out)
{
    struct view fraction = text;
    struct view whole = view_take_until(&fraction, '.');
    uint64_t units, thousandths = 0;

    if (!view_to_u64(whole, 1000000, &units) || fraction.len > 3)
        return false;
    if (fraction.len > 0 && !view_to_u64(fraction, 999, &thousandths))
        return false;
    for (size_t i = fraction.len; i < 3; i++)
        thousandths *= 10;
    *out = units * 1000 + thousandths;
    return true;
}

static void print_amount(const struct unit *units, uint64_t number, struct buf *out)
{
    const struct unit *u = units;

    while (number % u->factor != 0 || number / u->factor == 0) {
        if (u->factor == 1)
            break;
        u++;
    }
    buf_put_u64(out, number / u->factor);
    if (number > 0)
        buf_put(out, view_of(u->suffix));
}

static void print_factor(uint64_t number, struct buf *out)
{
    uint64_t fraction = number % 1000;

    buf_put_u64(out, number / 1000);
    if (fraction == 0)
        return;
    buf_put_byte(out, '.');
    for (uint64_t digit = 100; fraction > 0; digit /= 10) {
        buf_put_byte(out, (char)('0' + fraction / digit));
        fraction %= digit;
    }
}

void config_print_number(enum config_type type, uint64_t number, struct buf *out)
{
    if (type == CONFIG_BYTES)
        print_amount(byte_units, number, out);
    else if (type == CONFIG_SECONDS)
        print_amount(time_units, number, out);
    else if (type == CONFIG_FACTOR)
        print_factor(number, out);
    else
        buf_put_u64(out, number);
}

/* Values. Each reader reports what it refuses. */

static bool take_text(struct config *c, const struct config_item *item, struct config_node *n,
                      struct view *text)
{
    if (n->shape == CONFIG_NOTHING)
        config_report(c, n, "%s has no value", item->name);
    else if (!config_scalar(n, text))
        config_report(c, n, "%s takes a single value", item->name);
    else
        return true;
    return false;
}

static void read_bool(struct config *c, const struct config_item *item, struct config_node *n,
                      void *field)
{
    static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };
    struct view text;

    if (!take_text(c, item, n, &text))
        return;
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (view_equal_nocase(text, view_of(words[i]))) {
            *(bool *)field = i % 2 == 1;
            return;
        }
    }
    config_report(c, n, "%s is yes or no", item->name);
}

static void report_range(struct config *c, const struct config_item *item, struct config_node *n)
{
    char least_room[32], most_room[32];
    struct buf least = BUF_ON_ARRAY(least_room), most = BUF_ON_ARRAY(most_room);

    config_print_number(item->type, item->least, &least);
    config_print_number(item->type, item->most, &most);
    config_report(c, n, "%s must be from %.*s to %.*s", item->name, VIEW_ARG(buf_view(&least)),
                  VIEW_ARG(buf_view(&most)));
}

static bool parse_number(enum config_type type, struct view text, uint64_t *out)
{
    if (type == CONFIG_BYTES)
        return parse_amount(byte_units, text, out);
    if (type == CONFIG_SECONDS)
        return parse_amount(time_units, text, out);
    if (type == CONFIG_FACTOR)
        return parse_factor(text, out);
    return view_to_u64(text, UINT64_MAX, out);
}

static void read_number(struct config *c, const struct config_item *item, struct config_node *n,
                        const char *form, void *field)
{
    struct view text;
    uint64_t number;

    if (!take_text(c, item, n, &text))
        return;
    if (!parse_number(item->type, text, &number))
        config_report(c, n, "%s is %s", item->name, form);
    else if (number < item->least || number > item->most)
        report_range(c, item, n);
    else
        *(uint64_t *)field = number;
}

bool config_parse_rate(struct view text, struct config_rate *rate)
{
    struct view count = view_take_until(&text, '/');

    return view_to_u64(count, 1000000000, &rate->count) && rate->count > 0 &&
           parse_amount(time_units, text, &rate->span_ms) && rate->span_ms > 0 &&
           rate->span_ms <= RATE_SPAN_MAX_MS;
}

/* rate = ( count "/" time ) / "none" */
static void read_rate(struct config *c, const struct config_item *item, struct config_node *n,
                      struct config_rate *rate)
{
    struct config_rate r = { 0, 0 };
    struct view text;

    if (!take_text(c, item, n, &text))
        return;
    if (!view_equal_nocase(text, VIEW("none")) && !config_parse_rate(text, &r))
        config_report(c, n, "%s is a rate such as 100/1m or 5000/1h, over at most a day, or none",
                      item->name);
    else
        *rate = r;
}

static bool has_control(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f)
            return true;
    }
    return false;
}

static bool is_label(struct view label)
{
    for (size_t i = 0; i < label.len; i++) {
        if (!byte_is_alnum(label.ptr[i]) && label.ptr[i] != '-')
            return false;
    }
    return label.len > 0 && label.len <= LABEL_MAX && label.ptr[0] != '-' &&
           label.ptr[label.len - 1] != '-';
}

/* Not an address: the last label must have a letter in it. */
static bool is_host(struct view text)
{
    struct view rest = text;
    struct view label = VIEW_EMPTY;
    uint64_t number;

    if (text.len == 0 || text.len > HOST_MAX || text.ptr[text.len - 1] == '.')
        return false;
    while (rest.len > 0) {
        label = view_take_until(&rest, '.');
        if (!is_label(label))
            return false;
    }
    return !view_to_u64(label, UINT64_MAX, &number);
}

static bool is_path(struct view text)
{
    return text.len > 0 && text.len < 4096 && text.ptr[0] == '/' && !has_control(text);
}

static bool is_text(struct view text)
{
    return text.len > 0 && !has_control(text);
}

static void read_text(struct config *c, const struct config_item *item, struct config_node *n,
                      bool (*fits)(struct view), const char *form, void *field)
{
    struct view text;

    if (!take_text(c, item, n, &text))
        return;
    if (fits(text))
        *(struct view *)field = text;
    else
        config_report(c, n, "%s is %s", item->name, form);
}

static void read_enum(struct config *c, const struct config_item *item, struct config_node *n,
                      void *field)
{
    char room[256];
    struct buf choices = BUF_ON_ARRAY(room);
    struct view text;

    if (!take_text(c, item, n, &text))
        return;
    for (unsigned i = 0; item->words[i] != NULL; i++) {
        if (view_equal_nocase(text, view_of(item->words[i]))) {
            *(unsigned *)field = i;
            return;
        }
        buf_printf(&choices, "%s%s",
                   i == 0                       ? ""
                   : item->words[i + 1] == NULL ? " or "
                                                : ", ",
                   item->words[i]);
    }
    config_report(c, n, "%s is %.*s", item->name, VIEW_ARG(buf_view(&choices)));
}

/* `n` is NULL only for a section that is not there. */
static void read_item(struct config *c, const struct config_item *item, struct config_node *n,
                      void *section)
{
    void *field = (char *)section + item->offset;

    switch (item->type) {
    case CONFIG_BOOL:
        read_bool(c, item, n, field);
        break;
    case CONFIG_COUNT:
        read_number(c, item, n, "a whole number", field);
        break;
    case CONFIG_BYTES:
        read_number(c, item, n, "a size such as 4096, 64K, 25M or 2G", field);
        break;
    case CONFIG_SECONDS:
        read_number(c, item, n, "a time such as 90s, 5m, 4h, 5d or 250ms", field);
        break;
    case CONFIG_FACTOR:
        read_number(c, item, n, "a number such as 1.5", field);
        break;
    case CONFIG_RATE:
        read_rate(c, item, n, field);
        break;
    case CONFIG_TEXT:
        read_text(c, item, n, is_text, "text, not empty and without control characters", field);
        break;
    case CONFIG_HOST:
        read_text(c, item, n, is_host, "a host name such as mx1.example.org", field);
        break;
    case CONFIG_PATH:
        read_text(c, item, n, is_path, "an absolute path", field);
        break;
    case CONFIG_ENUM:
        read_enum(c, item, n, field);
        break;
    case CONFIG_SECTION:
        config_section(c, n, item->items, item->item_count, field);
        break;
    case CONFIG_CUSTOM:
        item->read(c, n, section);
        break;
    }
}

/* Sections */

static void read_default(struct config *c, const struct config_item *item, void *section)
{
    struct config_file *file;
    struct config_node scalar = { .shape = CONFIG_SCALAR };

    if (item->type == CONFIG_SECTION) {
        read_item(c, item, NULL, section);
        return;
    }
    if (item->fallback == NULL)
        return;
    scalar.text = view_of(item->fallback);
    if (item->type != CONFIG_CUSTOM) {
        read_item(c, item, &scalar, section);
        return;
    }
    file = config_alloc(c, 1, sizeof(*file));
    *file = (struct config_file){ .name = "default", .bytes = scalar.text, .built_in = true };
    item->read(c, config_yaml_read(c, file), section);
}

/* How many letters must be added, dropped, changed or swapped with their neighbour. */
static size_t edit_distance(struct view a, struct view b)
{
    size_t rows[3][NAME_MAX_BYTES + 1] = { { 0 } };
    size_t *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b.len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *oldest = before;

        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = last[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);

            now[j] = MIN(MIN(last[j], now[j - 1]) + 1, change);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
                now[j] = MIN(now[j], before[j - 2] + 1);
        }
        before = last;
        last = now;
        now = oldest;
    }
    return last[b.len];
}

static void report_unknown(struct config *c, struct config_node *key,
                           const struct config_item *items, size_t count)
{
    const char *nearest = NULL;
    size_t least = MAX(key->text.len / 3, 2) + 1;

    for (size_t i = 0; i < count && key->text.len <= NAME_MAX_BYTES; i++) {
        size_t distance = edit_distance(key->text, view_of(items[i].name));

        if (distance < least) {
            least = distance;
            nearest = items[i].name;
        }
    }
    if (nearest != NULL)
        config_report(c, key, "there is no setting \"%.*s\" here; did you mean \"%s\"?",
                      VIEW_ARG(key->text), nearest);
    else
        config_report(c, key, "there is no setting \"%.*s\" here", VIEW_ARG(key->text));
}

static void check_names(struct config *c, struct config_node *map, const struct config_item *items,
                        size_t count)
{
    for (size_t i = 0; i < config_count(map); i++) {
        struct config_node *key = config_key_at(map, i);
        bool known = false;

        for (size_t j = 0; j < count && !known; j++)
            known = view_equal(key->text, view_of(items[j].name));
        if (!known)
            report_unknown(c, key, items, count);
    }
}

/* `fresh`: what is not given has its default; else what the section had before. */
static void read_section(struct config *c, struct config_node *node,
                         const struct config_item *items, size_t count, void *section, bool fresh)
{
    bool given = node != NULL && node->shape != CONFIG_NOTHING;
    bool written = config_is_map(node);
    /* After that, what is missing is no news. */
    bool broken = (given && !written) || (node == config_root(c) && config_is_broken(c));

    if (given && !written)
        config_report(c, node, "expected settings, \"name: value\"");
    if (written)
        check_names(c, node, items, count);
    for (size_t i = 0; i < count; i++) {
        struct config_node *n = written ? config_find(node, items[i].name) : NULL;
        bool single = items[i].type != CONFIG_CUSTOM && items[i].type != CONFIG_SECTION;

        /* A refused value leaves the default, so that later checks meet something sane. */
        if (fresh && (n == NULL || single))
            read_default(c, &items[i], section);
        if (n != NULL)
            read_item(c, &items[i], n, section);
        else if (fresh && items[i].required && !broken)
            config_report(c, node, "%s is missing: %s", items[i].name, items[i].summary);
    }
}

void config_section(struct config *c, struct config_node *node, const struct config_item *items,
                    size_t count, void *section)
{
    read_section(c, node, items, count, section, true);
}

void config_section_over(struct config *c, struct config_node *node,
                         const struct config_item *items, size_t count, void *section)
{
    read_section(c, node, items, count, section, false);
}
