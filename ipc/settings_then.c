/* What rules do: "then". */
#include "common/attrs.h"
#include "ipc/settings_rows.h"
#include "ipc/settings_rules.h"

#include "mail/reply.h"

#include <stdio.h>
#include <string.h>

enum {
    WORDS_MAX = 400, /* bytes; a reply line has 512 */
    FIELD_MAX = 900, /* bytes of a field's line; RFC 5322, 2.1.1 allows 998 */
};

bool settings_is_field_name(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 127 || text.ptr[i] == ':')
            return false;
    }
    return text.len > 0 && text.len <= 77;
}

static bool is_text(struct view text, size_t most)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < ' ' || text.ptr[i] >= 127)
            return false;
    }
    return text.len <= most;
}

static const char *keep(struct config *c, struct view text)
{
    char *room = config_alloc(c, text.len + 1, 1);

    if (text.len > 0)
        memcpy(room, text.ptr, text.len);
    return room;
}

/* The words, and behind them the rule's name if it has one. */
static const char *keep_words(struct config *c, struct view words, const struct rule *rule)
{
    char room[WORDS_MAX + SETTINGS_NAME_MAX + 16];

    if (rule->name.len == 0)
        return keep(c, words);
    (void)snprintf(room, sizeof(room), "%.*s (rule %.*s)", VIEW_ARG(words),
                   VIEW_ARG(view_sub(rule->name, 0, SETTINGS_NAME_MAX)));
    return keep(c, view_of(room));
}

/* ---- one action each; NULL: it is right, else what was expected ---- */

static const char *read_nothing(struct config *c, struct view words, const struct rule *rule,
                                struct rule_action *a)
{
    (void)c;
    (void)rule;
    (void)a;
    return words.len == 0 ? NULL : "accept and discard take nothing";
}

/* [ code [ enhanced ] ] [ text ] */
static const char *read_reply(struct config *c, struct view words, const struct rule *rule,
                              struct rule_action *a)
{
    bool refuse = a->act == RULE_REFUSE;
    char class = refuse ? '5' : '4';
    struct view rest = words, word = view_take_word(&rest), end;
    struct enhanced enhanced;
    uint64_t code;

    a->code = refuse ? 550 : 450;
    a->enhanced = refuse ? "5.7.1" : "4.7.1";
    if (word.len == 3 && view_to_u64(word, 599, &code)) {
        if (word.ptr[0] != class || word.ptr[1] > '5')
            return refuse ? "refuse takes a code of 500 to 559"
                          : "defer takes a code of 400 to 459";
        a->code = (unsigned)code;
        words = rest;
        word = view_take_word(&rest);
        end = word;
        if (enhanced_take(&end, &enhanced) && end.len == 0) {
            if (word.ptr[0] != class)
                return "the enhanced code begins with the other digit than the code";
            a->enhanced = keep(c, word);
            words = rest;
        }
    }
    if (!is_text(words, WORDS_MAX))
        return "the words of a reply are at most 400 printable ASCII characters";
    if (words.len == 0)
        words = refuse ? VIEW("This server's rules do not allow it")
                       : VIEW("This server's rules do not allow it now, try again later");
    a->reply = keep_words(c, words, rule);
    return NULL;
}

static const char *read_reason(struct config *c, struct view words, const struct rule *rule,
                               struct rule_action *a)
{
    char room[WORDS_MAX];

    if (!is_text(words, WORDS_MAX))
        return "the reason is at most 400 printable ASCII characters";
    (void)snprintf(room, sizeof(room), "by rule %s", rule->label);
    a->reply = words.len == 0 ? keep(c, view_of(room)) : keep_words(c, words, rule);
    return NULL;
}

static const char *read_word(struct config *c, struct view words, const struct rule *rule,
                             struct rule_action *a)
{
    (void)c;
    (void)rule;
    a->word = words;
    return settings_is_name(words) ? NULL : "tag and route take a name of a-z A-Z 0-9 . _ -";
}

static const char *read_field(struct config *c, struct view words, const struct rule *rule,
                              struct rule_action *a)
{
    (void)c;
    (void)rule;
    a->word = view_trim(view_take_until(&words, ':'));
    a->text = view_trim(words);
    if (!settings_is_field_name(a->word) || a->text.len == 0 || !is_text(a->text, FIELD_MAX))
        return "expected a header field in printable ASCII, \"X-Name: value\"";
    return NULL;
}

static const char *read_field_name(struct config *c, struct view words, const struct rule *rule,
                                   struct rule_action *a)
{
    (void)c;
    (void)rule;
    a->word = words;
    return settings_is_field_name(words) ? NULL : "expected the name of a header field";
}

static bool take_key(struct view *words, enum rule_key *key)
{
    static const char *const names[RULE_KEYS] = {
        [RULE_BY_CLIENT] = "client", [RULE_BY_NETWORK] = "network",     [RULE_BY_LOGIN] = "login",
        [RULE_BY_SENDER] = "sender", [RULE_BY_RECIPIENT] = "recipient",
    };
    struct view word = view_take_word(words);

    for (unsigned i = RULE_BY_CLIENT; i < RULE_KEYS; i++) {
        if (view_equal(word, view_of(names[i]))) {
            *key = (enum rule_key)i;
            return true;
        }
    }
    return false;
}

/* rate [ "by" key ] [ "or" "hold" ] */
static const char *read_limit(struct config *c, struct view words, const struct rule *rule,
                              struct rule_action *a)
{
    static const char fault[] = "expected limit and a rate such as 100/1h, over at most a day; "
                                "then \"by client\", network, "
                                "login, sender or recipient; then \"or hold\"";
    char room[WORDS_MAX];
    struct view word;

    a->word = words;
    if (!config_parse_rate(view_take_word(&words), &a->rate))
        return fault;
    word = view_take_word(&words);
    if (view_equal(word, VIEW("by"))) {
        if (!take_key(&words, &a->key))
            return fault;
        word = view_take_word(&words);
    }
    if (view_equal(word, VIEW("or"))) {
        a->holds = view_equal(view_take_word(&words), VIEW("hold"));
        if (!a->holds)
            return fault;
        word = view_take_word(&words);
    }
    if (word.len > 0)
        return fault;
    if (a->holds)
        (void)snprintf(room, sizeof(room), "beyond the limit of rule %s", rule->label);
    a->reply = a->holds ? keep(c, view_of(room))
                        : keep_words(c, VIEW("Too much mail, try again later"), rule);
    return NULL;
}

static const char *(*const readers[RULE_ACTS])(struct config *c, struct view words,
                                               const struct rule *rule, struct rule_action *a) = {
    [RULE_ACCEPT] = read_nothing,       [RULE_REFUSE] = read_reply,
    [RULE_DEFER] = read_reply,          [RULE_DISCARD] = read_nothing,
    [RULE_HOLD] = read_reason,          [RULE_TAG] = read_word,
    [RULE_ADD_HEADER] = read_field,     [RULE_REMOVE_HEADER] = read_field_name,
    [RULE_REPLACE_HEADER] = read_field, [RULE_ROUTE] = read_word,
    [RULE_LIMIT] = read_limit,
};

/* ---- then ---- */

static bool find_act(struct view word, enum rule_act *act)
{
    for (unsigned i = 0; i < RULE_ACTS; i++) {
        if (view_equal_nocase(word, view_of(rule_act_name((enum rule_act)i)))) {
            *act = (enum rule_act)i;
            return true;
        }
    }
    return false;
}

static void read_action(struct config *c, struct config_node *n, struct rule *rule)
{
    struct rule_action *a = &rule->actions[rule->action_count];
    const char *fault;
    struct view words;

    if (!config_scalar(n, &words) || !find_act(view_take_word(&words), &a->act)) {
        config_report(c, n,
                      "expected accept, refuse, defer, discard or hold; tag, route, limit, "
                      "add-header, replace-header or remove-header");
        return;
    }
    if (rule->action_count > 0 && rule->actions[rule->action_count - 1].act <= RULE_HOLD) {
        config_report(c, n, "nothing is done behind %s, which ends the rules",
                      rule_act_name(rule->actions[rule->action_count - 1].act));
        return;
    }
    a->node = n;
    fault = readers[a->act](c, view_trim(words), rule, a);
    if (fault != NULL)
        config_report(c, n, "%s", fault);
    else
        rule->action_count++;
}

void settings_read_then(struct config *c, struct config_node *n, void *section)
{
    struct rule *rule = section;
    size_t count = config_is_list(n) ? config_count(n) : 1;

    rule->actions = config_alloc(c, MAX(count, 1), sizeof(*rule->actions));
    if (count == 0)
        config_report(c, n, "then needs at least one action");
    for (size_t i = 0; i < count; i++)
        read_action(c, config_is_list(n) ? config_at(n, i) : n, rule);
}
