/* A dialogue that runs: the server's engine, and what stands in for its driver. */
#ifndef TESTS_DIALOGS_DIALOG_H
#define TESTS_DIALOGS_DIALOG_H

#include "ipc/rules.h"
#include "smtpd/session.h"

enum {
    ROOM = 1 << 20, /* bytes for what each side says at once, and for a message */
};

enum cut { CUT_WHOLE, CUT_BYTES, CUT_RANDOM };

struct dialog {
    const char *path;
    unsigned line; /* number */
    enum cut cut;
    uint64_t random;
    struct settings settings;
    struct listener_settings listener;
    struct message_spool_state spool;
    struct content_budget budget;
    struct session_budget addresses;
    struct session_rules rules;
    char mechanisms[256];
    bool certified;
    struct net_address client;
    struct session session;
    bool begun, whole_only, failed;
    uint64_t rates[RATE_KINDS]; /* what is left of them */
    enum rates_verdict rates_of;
    struct rates buckets; /* of rules, when one was asked for */
    struct buf said;      /* by the client, since the server was last listened to */
    struct buf pending;   /* arrived, not used by the engine yet */
    struct buf out;
    struct buf message; /* spilled or about to be committed */
    struct view message_rest, trace;
    char applied[1024]; /* rules to the last message */
    bool message_read;
};

/* Says that and where it is not as it should be. */
void fail(struct dialog *d, const char *what, struct view wanted, struct view got);

/* Once: what comes before has set the circumstances. */
void begin(struct dialog *d);
/* Sends what the client said, in pieces. */
void flush_client(struct dialog *d);
void expect_silence(struct dialog *d);
/* Lets the engine go on, with what arrived while it waited. */
void pump(struct dialog *d);
/* Takes what the engine keeps no longer. */
void spill(struct dialog *d);

/* ---- the words of a dialogue ---- */

struct word {
    struct view word;
    /* False: the arguments are not understood. */
    bool (*run)(struct dialog *d, struct view args);
};

extern const struct word words_said[];    /* what client, server and driver say; */
extern const struct word circumstances[]; /* in which they do; an empty word ends both */

enum { TROUBLES = SPOOL_INVALID + 1 };
extern const char *const troubles[TROUBLES]; /* of the spool */
bool find_word(const char *const *words, size_t count, struct view word, unsigned *out);

#endif
