/* What rules may ask for, when that is known, and what they may do. */
#include "common/attrs.h"
#include "ipc/rules.h"

/* clang-format off */
static const struct {
    const char *name;
    enum rule_kind kind;
    enum rule_stage stage;
} fields[RULE_FIELDS] = {
    [RULE_LISTENER]    = { "listener",    RULE_WORD,    RULE_AT_CONNECT },
    [RULE_CLIENT]      = { "client",      RULE_NETWORK, RULE_AT_CONNECT },
    [RULE_CLIENT_NAME] = { "client-name", RULE_HOST,    RULE_AT_MAIL }, /* found meanwhile */
    [RULE_LOGIN]       = { "login",       RULE_WORD,    RULE_AT_MAIL },
    [RULE_HELO]        = { "helo",        RULE_HOST,    RULE_AT_HELO },
    [RULE_SENDER]      = { "sender",      RULE_ADDRESS, RULE_AT_MAIL },
    [RULE_RECIPIENT]   = { "recipient",   RULE_ADDRESS, RULE_AT_RCPT },
    [RULE_TLS]         = { "tls",         RULE_WORD,    RULE_AT_MAIL },
};
/* clang-format on */

static const char *const stages[RULE_STAGES] = {
    [RULE_AT_CONNECT] = "connect", [RULE_AT_HELO] = "helo",     [RULE_AT_MAIL] = "mail",
    [RULE_AT_RCPT] = "rcpt",       [RULE_AT_HEADER] = "header", [RULE_AT_END] = "end",
};
static const char *const acts[RULE_ACTS] = {
    [RULE_ACCEPT] = "accept",
    [RULE_REFUSE] = "refuse",
    [RULE_DEFER] = "defer",
    [RULE_DISCARD] = "discard",
    [RULE_HOLD] = "hold",
    [RULE_TAG] = "tag",
    [RULE_ADD_HEADER] = "add-header",
    [RULE_REMOVE_HEADER] = "remove-header",
    [RULE_REPLACE_HEADER] = "replace-header",
    [RULE_ROUTE] = "route",
    [RULE_LIMIT] = "limit",
};

const char *rule_stage_name(enum rule_stage s)
{
    return stages[s];
}

const char *rule_field_name(enum rule_field f)
{
    return fields[f].name;
}

const char *rule_act_name(enum rule_act a)
{
    return acts[a];
}

enum rule_kind rule_field_kind(enum rule_field f)
{
    return fields[f].kind;
}

enum rule_stage rule_field_stage(enum rule_field f)
{
    return fields[f].stage;
}

static enum rule_stage conditions_stage(const struct rule_conditions *c)
{
    enum rule_stage stage = RULE_AT_CONNECT;

    if (c->larger > 0 || c->smaller > 0)
        return RULE_AT_END;
    if (c->header_count > 0)
        return RULE_AT_HEADER;
    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        if (c->fields[i] != NULL)
            stage = MAX(stage, fields[i].stage);
    }
    return stage;
}

bool rule_limits(const struct rule *rule)
{
    for (size_t i = 0; i < rule->action_count; i++) {
        if (rule->actions[i].act == RULE_LIMIT)
            return true;
    }
    return false;
}

bool rule_asks_name(const struct rule *rule)
{
    return rule->match.fields[RULE_CLIENT_NAME] != NULL ||
           rule->except.fields[RULE_CLIENT_NAME] != NULL;
}

enum rule_stage rule_own_stage(const struct rule *rule)
{
    enum rule_stage stage = MAX(conditions_stage(&rule->match), conditions_stage(&rule->except));

    return rule_limits(rule) ? MAX(stage, RULE_AT_RCPT) : stage;
}

unsigned rule_known_at(enum rule_stage stage)
{
    unsigned known = 0;

    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        if (fields[i].stage <= stage)
            known |= 1u << i;
    }
    if (stage >= RULE_AT_HEADER)
        known |= RULE_KNOWS_HEADER;
    return stage >= RULE_AT_END ? known | RULE_KNOWS_SIZE : known;
}
