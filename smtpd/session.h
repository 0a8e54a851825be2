/* The SMTP server's side of a session (RFC 5321): bytes in, replies and wishes out. It knows no
 * sockets, no clock and no queue: a driver feeds it, sends what it says, and fulfils what it
 * wishes. */
#ifndef SMTPD_SESSION_H
#define SMTPD_SESSION_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/view.h"
#include "io/net.h"
#include "ipc/messages.h"
#include "ipc/settings.h"
#include "mail/body.h"
#include "mail/completion.h"
#include "mail/envelope.h"
#include "mail/from.h"
#include "mail/qualify.h"
#include "smtpd/content.h"
#include "smtpd/head.h"
#include "smtpd/rates.h"
#include "smtpd/recipients.h"
#include "smtpd/screen.h"

enum {
    SESSION_LINE_MAX = 2048,       /* bytes, CRLF included; RFC 5321, 4.5.3.1.4 asks for 512 */
    SESSION_AUTH_LINE_MAX = 12290, /* the same of AUTH and what answers it; RFC 4954, 4 */
    SESSION_LOGIN_MAX = 255,       /* bytes */
    SESSION_HELO_MAX = 255,        /* bytes; a domain's limit */
    SESSION_REPLY_MAX = 1024,      /* bytes; feeding stops when `out` has less room than that */
    SESSION_ARENA_MAX = 2 << 20,   /* bytes for the addresses of one message */
    SESSION_RCPTS_BYTES_MAX = 900 << 10, /* bytes of recipients in an encoded envelope, so that it
                                          * fits a record; 1,000 of the usual kind have 100 KiB */
    SESSION_ID_TEXT_MAX = 32,            /* bytes */
    SESSION_NAME_MS = 30000,             /* patience with dns, which as a rule gives up before */
};

/* The name of the client's host. */
enum session_naming {
    NAME_SETTLED, /* known, or there is none */
    NAME_AWAITED, /* being looked up */
    NAME_FAILED,  /* nobody knows for now */
};

enum session_state {
    SESSION_NEW,     /* not greeted yet */
    SESSION_READY,   /* for MAIL */
    SESSION_MAIL,    /* has a sender */
    SESSION_RCPT,    /* and at least one recipient */
    SESSION_AUTH,    /* between AUTH and the answer to it: lines are responses */
    SESSION_CONTENT, /* between 354 and the answer to the message, or within a chunk */
    SESSION_CHUNKS,  /* between the chunks of a message */
    SESSION_CLOSED,
};

/* While a wish is pending nothing is fed. */
enum session_wish {
    WISH_NOTHING,
    WISH_TLS,    /* a handshake, once what was said has gone; plain text that came is dropped.
                  * Then session_tls_ready, or close. */
    WISH_AUTH,   /* what session_auth says goes to the auth process: session_auth_challenged or
                  * session_auth_ended */
    WISH_NAME,   /* the name of the client's host, which a rule asks for: session_name_client or
                  * session_name_failed */
    WISH_OPEN,   /* a file for the content: session_opened or session_spool_failed */
    WISH_COMMIT, /* make the message durable: session_committed or session_spool_failed */
    WISH_CLOSE,  /* once what was said has gone */
};

struct session;

struct session_refusal { /* a reply of 400 and above */
    unsigned code;
    const char *enhanced, *text;
    const char *rule;              /* that asks for it; NULL: none */
    bool of_mail;                  /* to MAIL, RCPT, DATA, or a message */
    struct view sender, recipient; /* as far as they are known; borrowed */
};

/* Memory for the addresses of messages that arrive: of all sessions of a process together. */
struct session_budget {
    uint64_t most, used; /* bytes */
};

/* What the sessions of a listener have in common. */
struct session_rules {
    const struct settings *settings;
    const struct listener_settings *listener;
    const struct message_spool_state *spool; /* what the queue said last */
    struct content_budget *budget;
    struct session_budget *addresses; /* NULL: each session has its own limit alone */
    const char *mechanisms; /* that can be had, separated by blanks; may change. NULL: none */
    bool starttls;          /* can be had */
    void (*refused)(const struct session *s, const struct session_refusal *r); /* may be NULL */
    /* Counts a message, a recipient or a failure; NULL: there are no rates. */
    enum rates_verdict (*counted)(struct session *s, enum rate_kind kind);
    /* Whether a rule's bucket has a token, which may be taken; NULL: there are no rates. */
    bool (*charged)(struct session *s, const struct rates_bucket *b, bool take);
    /* A rule has it that what was answered 250 is not kept: the message for this recipient, or,
     * where that is empty, the message that nobody was left for. May be NULL. */
    void (*discarded)(const struct session *s, const struct rule *rule, struct view recipient);
    /* A message was accepted, and rules had a say in it: their names, separated by commas. May be
     * NULL. */
    void (*applied)(struct session *s, uint64_t message, struct view names);
    /* By session_rules_init: */
    char hostname[256], greeting[512];
    struct extension_settings extensions; /* on for all, and for the listener */
    bool needs_header;                    /* it is looked at as a whole before it is passed on */
};

/* The other fields must be set before. */
void session_rules_init(struct session_rules *r);

/* An exchange of AUTH; heap, gone with it. */
struct session_auth {
    char mechanism[24]; /* NUL-terminated */
    bool begun;         /* a challenge was heard: what is at hand answers it */
    bool initial;       /* not begun: there is an initial response */
    char *response;     /* decoded */
    size_t response_len, response_room;
};

/* One message on its way in; emptied as a whole, and only in one place. */
struct transaction {
    struct arena arena;
    struct view sender;
    struct recipients to;
    struct envelope said;      /* by the parameters of MAIL */
    struct envelope_rcpt rcpt; /* by the RCPT that runs */
    uint64_t arrival_ms;
    struct body_receiver receiver;
    struct header_scan header;
    struct completion completion; /* of a submission */
    struct qualify qualify;       /* likewise */
    size_t qualified;             /* addresses in its header */
    struct from_scan from;        /* of a login's message, where it is checked */
    struct content content;
    uint64_t chunk_left; /* bytes of the chunk that is being read */
    bool chunked;        /* it comes in chunks */
    bool last;           /* and this is the last one */
    bool traced;         /* the Received field is in the content */
    bool too_large;
    struct head head;
    struct screen screen;
    const char *hold;           /* why it shall wait in the queue; NULL: it need not */
    enum spool_trouble trouble; /* the spool cannot take it */
};

struct session {
    const struct session_rules *rules;
    struct buf *out;     /* the driver's; replies collect in it */
    uint64_t id, now_ms; /* wall clock; the driver keeps it right */
    enum session_state state;
    enum session_wish wish;
    bool trusted, extended, skipping, draining;
    bool may_xclient;           /* the client is a proxy of ours, until it has told another one */
    bool xclient_said;          /* it begins to; what a proxy tells may take several of them */
    bool helo_fixed;            /* it has told the client's HELO, ... */
    const char *protocol_fixed; /* ...and its protocol; NULL: it has not */
    bool external;              /* its certificate is a login's; the driver says so */
    bool bindable;              /* SCRAM can be bound to this TLS; the driver says so */
    uint64_t refused_size;      /* of a chunk that is not wanted, ... */
    uint64_t refused_bytes;     /* ...which is still to be read, but for what came */
    bool quit;                  /* the client has said so */
    unsigned errors;            /* refused commands since the last message */
    unsigned message_count;     /* begun; makes ids */
    unsigned accepted_count;
    unsigned client_count; /* that it was, as proxies told */
    struct net_address client;
    struct session_auth *auth; /* NULL: no AUTH is under way */
    size_t helo_len;
    struct view asked_sender, asked_rcpt; /* by the command that runs */
    const char *asked_rule;               /* that refuses it */
    struct transaction transaction;
    size_t charged;        /* bytes of the budget for addresses */
    struct view listed_at; /* the list that blocks the client; empty: none. Borrowed */
    bool listed_surely;
    char *client_name; /* heap; NULL: not known, or not yet */
    enum session_naming naming;
    char *login; /* who logged in; heap; NULL: nobody */
    char client_text[NET_ADDRESS_TEXT_MAX], id_text[SESSION_ID_TEXT_MAX];
    char tls[96];   /* tls_facts.text; empty: plain text */
    char words[48]; /* of a reply that is made for the occasion */
    char helo[SESSION_HELO_MAX];
};

void session_init(struct session *s, const struct session_rules *rules,
                  const struct net_address *client, uint64_t id, struct buf *out);
void session_release(struct session *s);

/* A proxy has told who the client is: nothing that was known of another one counts, and a proxy is
 * whom that makes one. Without a family it is unknown. */
void session_set_client(struct session *s, const struct net_address *client);
/* The client is who it says, and may relay; empty: nobody in particular. */
void session_log_in(struct session *s, struct view login);
/* The name of the client's host is looked up from now on. */
void session_await_name(struct session *s);
/* It was found; at most SESSION_HELO_MAX bytes, for what comes after. Empty: it has none. */
void session_name_client(struct session *s, struct view name);
/* Whether it has one could not be found out. */
void session_name_failed(struct session *s);

/* The client stands on a list, whose name outlives the session. Not `sure`: another one may allow
 * it nevertheless, and did not say. */
void session_list_client(struct session *s, struct view list, bool sure);

/* With implicit TLS it wishes that first, and greets afterwards. */
void session_greet(struct session *s);
/* Runs every complete command line, and all content, at the front of `input`. Returns how many
 * bytes were used: a partial line, or what follows a command whose answer is awaited, stays with
 * the caller, and so does everything when `out` is full. */
size_t session_feed(struct session *s, struct view input);

enum session_wish session_wish(const struct session *s);
void session_tls_ready(struct session *s, const char *tls_facts);
/* At WISH_AUTH. The driver forgets an exchange as soon as this is NULL. */
const struct session_auth *session_auth(const struct session *s);
void session_auth_challenged(struct session *s, struct view bytes);
void session_auth_ended(struct session *s, enum login_result result, struct view login);
void session_opened(struct session *s);
void session_committed(struct session *s, uint64_t message);
/* Answers WISH_OPEN and WISH_COMMIT; without a wish: the file that was opened is lost. */
void session_spool_failed(struct session *s, enum spool_trouble trouble);

/* A message is coming in: it has its own patience, and its end a deadline. */
bool session_in_content(const struct session *s);
/* What came of it, or of a chunk that is read without being wanted. */
uint64_t session_content_bytes(const struct session *s);
/* How long the driver shall wait for the next thing to happen, in ms: a command, more of a
 * message, or what is wished. */
uint64_t session_patience_ms(const struct session *s);
/* The client has to go, before its session begins or after one of its commands: says why. */
void session_turn_away(struct session *s, const char *text);
/* Nothing came for too long, or too little: says so and closes. */
void session_time_out(struct session *s);
/* The server ends: between messages it says so and closes, else after the message or, if
 * `now`, in its middle. */
void session_drain(struct session *s, bool now);

/* Content that awaits the driver: to be written to its file, or committed. */
struct content *session_content(struct session *s);
/* The envelope of the message, at WISH_COMMIT. Borrows from the session. */
void session_envelope(const struct session *s, struct envelope *e);

#endif
