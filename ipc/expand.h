/* Who a recipient of ours really is: mailboxes, aliases, +detail, postmaster, catch-all. */
#ifndef IPC_EXPAND_H
#define IPC_EXPAND_H

#include "ipc/settings.h"

enum {
    EXPAND_DEPTH_MAX = 20,    /* aliases that lead to aliases */
    EXPAND_STEPS_MAX = 10000, /* addresses looked at for one recipient */
};

enum expand_result {
    EXPAND_DONE,     /* every address was added */
    EXPAND_UNKNOWN,  /* it is nobody's */
    EXPAND_UNSURE,   /* nobody knows: MAILBOX_UNSURE */
    EXPAND_LOOP,     /* aliases lead back to themselves, or further than EXPAND_DEPTH_MAX */
    EXPAND_TOO_MANY, /* `add` or EXPAND_STEPS_MAX said so */
};

struct expansion {
    const struct settings *settings;
    /* settings_has_mailbox, or one that does not look at patterns (and so needs no PCRE2). */
    enum mailbox_answer (*has_mailbox)(const struct settings *s, const struct address *a);
    /* One address of it, which dies with the call: a mailbox, an address elsewhere, or an alias'
     * address of ours that is nobody's, whose sender will hear so. `aliased`: it is not the one
     * that was asked for. False: no room. */
    bool (*add)(struct expansion *x, const struct address *a);
    bool aliased;
    /* The rest is private. */
    const struct alias_settings *path[EXPAND_DEPTH_MAX];
    unsigned depth, steps;
};

/* Whether mail to it is ours: no domain at all (postmaster), or one with mailboxes or aliases. */
bool expand_is_ours(const struct settings *s, const struct address *a);
/* Adds what becomes of an address that is ours. What was added before a result other than
 * EXPAND_DONE is to be forgotten. */
enum expand_result expand_rcpt(struct expansion *x, const struct address *rcpt) MUST_USE;
/* Whether somebody has it, as expand_rcpt decides, but without going further than the first step:
 * EXPAND_DONE, EXPAND_UNKNOWN or EXPAND_UNSURE. No `add` is needed. */
enum expand_result expand_look(const struct expansion *x, const struct address *rcpt) MUST_USE;

#endif
