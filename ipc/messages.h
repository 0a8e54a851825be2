/* Who says what to whom. One table makes the numbers, the names for logs and the direction check;
 * each message is a struct with an encode and a decode (messages_*.c). A message is one
 * byte of type and the fields; at most CHANNEL_PACKET_MAX bytes, at most one descriptor.
 *
 * Ids are made by the side that asks and mean something only on that channel. Views in decoded
 * messages borrow from the packet. */
#ifndef IPC_MESSAGES_H
#define IPC_MESSAGES_H

#include "common/buf.h"
#include "common/view.h"
#include "mail/envelope.h"

enum process { MASTER, SMTPD, QUEUE, DELIVERY, DNS, LOCAL, AUTH, KEYS, TOKENS, PROCESS_KINDS };
#define FROM(process) (1u << (process))
#define WORKER        (FROM(DELIVERY) | FROM(LOCAL))
#define DNS_CLIENT    (FROM(SMTPD) | FROM(DELIVERY))
#define CHILD                                                                                      \
    (FROM(SMTPD) | FROM(QUEUE) | FROM(DELIVERY) | FROM(DNS) | FROM(LOCAL) | FROM(AUTH) | FROM(KEYS))

/* clang-format off */
#define MESSAGES(M)                                                                                \
    /* name             lower            from            to                                     */ \
    M(GRANT,            grant,           FROM(MASTER),   CHILD)        /* + fd: something to hold */ \
    M(START,            start,           FROM(MASTER),   CHILD)        /* that was all: lock up, run */ \
    M(READY,            ready,           CHILD,          FROM(MASTER)) /* locked up, in its loop */ \
    M(DRAIN,            drain,           FROM(MASTER),   CHILD)        /* finish what runs, then end */ \
    M(RELOADED,         reloaded,        FROM(MASTER),   FROM(QUEUE))  /* how a reload went, for status */ \
    M(SPOOL_STATE,      spool_state,     FROM(QUEUE),    FROM(SMTPD))  /* whether new mail is welcome */ \
    M(SPOOL_PART,       spool_part,      FROM(SMTPD),    FROM(QUEUE))  /* some of what exceeds a packet */ \
    M(SPOOL_OPEN,       spool_open,      FROM(SMTPD),    FROM(QUEUE))  /* a large body is coming */ \
    M(SPOOL_OPENED,     spool_opened,    FROM(QUEUE),    FROM(SMTPD))  /* + fd to write it to */ \
    M(SPOOL_COMMIT,     spool_commit,    FROM(SMTPD),    FROM(QUEUE))  /* envelope, rest of the body */ \
    M(SPOOL_COMMITTED,  spool_committed, FROM(QUEUE),    FROM(SMTPD))  /* durable: 250 may be sent */ \
    M(SPOOL_FAILED,     spool_failed,    FROM(QUEUE),    FROM(SMTPD))  /* not durable, and why */ \
    M(SPOOL_ABORT,      spool_abort,     FROM(SMTPD),    FROM(QUEUE))  /* forget it */ \
    M(READY_FOR,        ready_for,       WORKER,         FROM(QUEUE))  /* so many jobs at once, in all */ \
    M(JOB_PART,         job_part,        FROM(QUEUE),    WORKER)       /* some of a body that exceeds a packet */ \
    M(JOB_START,        job_start,       FROM(QUEUE),    WORKER)       /* recipients of one hop, body or + fd */ \
    M(JOB_CANCEL,       job_cancel,      FROM(QUEUE),    WORKER)       /* not wanted any more, if not begun */ \
    M(MX_ASK,           mx_ask,          FROM(QUEUE),    FROM(DELIVERY)) /* which hosts take a domain's mail */ \
    M(MX_ANSWER,        mx_answer,       FROM(DELIVERY), FROM(QUEUE))  /* a name for the set of them */ \
    M(WAY_ASK,          way_ask,         FROM(QUEUE),    FROM(DELIVERY)) /* tern explain asks, in the queue's place: */ \
    M(WAY_ANSWER,       way_answer,      FROM(DELIVERY), FROM(QUEUE))  /* which hosts and addresses would be tried */ \
    M(RCPT_RESULT,      rcpt_result,     WORKER,         FROM(QUEUE))  /* what became of one, or of all */ \
    M(JOB_AGAIN,        job_again,       FROM(DELIVERY), FROM(QUEUE))  /* one more transaction for it */ \
    M(JOB_END,          job_end,         WORKER,         FROM(QUEUE))  /* every recipient has its result */ \
    M(TLS_MISSED,       tls_missed,      FROM(DELIVERY), FROM(QUEUE))  /* a host's STARTTLS failed */ \
    M(DNS_ASK,          dns_ask,         DNS_CLIENT,     FROM(DNS))    /* a route, addresses, or a name */ \
    M(DNS_FORGET,       dns_forget,      DNS_CLIENT,     FROM(DNS))    /* nobody waits for the answer */ \
    M(DNS_ANSWER,       dns_answer,      FROM(DNS),      DNS_CLIENT)                                \
    M(LOGIN_STATE,      login_state,     FROM(AUTH),     FROM(SMTPD))  /* which mechanisms can be had */ \
    M(LOGIN_BEGIN,      login_begin,     FROM(SMTPD),    FROM(AUTH))   /* a client wants to log in */ \
    M(LOGIN_CHALLENGE,  login_challenge, FROM(AUTH),     FROM(SMTPD))  /* to be answered */ \
    M(LOGIN_RESPONSE,   login_response,  FROM(SMTPD),    FROM(AUTH))   /* to the challenge */ \
    M(LOGIN_CANCEL,     login_cancel,    FROM(SMTPD),    FROM(AUTH))   /* nobody waits any more */ \
    M(LOGIN_END,        login_end,       FROM(AUTH),     FROM(SMTPD))  /* how it went */ \
    M(KEY_SIGN,         key_sign,        FROM(SMTPD),    FROM(KEYS))   /* for a handshake, which waits */ \
    M(KEY_SIGNED,       key_signed,      FROM(KEYS),     FROM(SMTPD))                              \
    M(TOKEN_ASK,        token_ask,       FROM(MASTER),   FROM(TOKENS)) /* run a command that gets one */ \
    M(TOKEN_ANSWER,     token_answer,    FROM(TOKENS),   FROM(MASTER)) /* what it said */ \
    M(TOKEN_REFUSED,    token_refused,   FROM(DELIVERY), FROM(MASTER)) /* a host does not believe it */
/* clang-format on */

enum message {
#define MESSAGE_NUMBER(NAME, lower, from, to) MESSAGE_##NAME,
    MESSAGES(MESSAGE_NUMBER)
#undef MESSAGE_NUMBER
        MESSAGE_KINDS
};

const char *process_name(enum process p); /* "smtpd" */
const char *message_name(enum message m); /* "SPOOL_COMMIT" */
bool message_allowed(enum message m, enum process from, enum process to);
/* The type in the packet's first byte; *fields is the rest. False: no such type, or empty. */
bool message_open(struct view packet, enum message *type, struct view *fields) MUST_USE;

/* ---- master and its children ---- */

enum {
    COUNTERS_BYTES_PER_WORKER = 131072, /* of GRANT_COUNTERS: each smtpd's share */
    RATES_BYTES = (2 << 20) + 64,       /* of GRANT_RATES */
};

enum grant_kind {
    GRANT_SETTINGS,      /* sealed memory file: the bundle of configuration files */
    GRANT_LISTENER,      /* index: of settings.listeners */
    GRANT_CERTIFICATE,   /* PEM file, open for reading */
    GRANT_KEY,           /* PEM file, open for reading */
    GRANT_TICKETS, /* sealed memory file of TLS_TICKET_SECRET bytes: what a session ticket that one
                      smtpd gave is worth at another */
    GRANT_TRUST_ANCHORS, /* PEM file, open for reading; index: of settings.routes, plus 1; 0: for
                            all others */
    GRANT_CLIENT_CA,     /* PEM file, open for reading */
    GRANT_SECRET, /* a password or token, open for reading; index: of settings.routes; again when it
                     changed; empty: the command has got none */
    GRANT_CONTROL,  /* the listening control socket */
    GRANT_LIST,     /* a file of settings.rules, open for reading; index: of its lists */
    GRANT_COUNTERS, /* shared memory: connections by client; index: this process's share */
    GRANT_RATES,    /* shared memory: how often clients and logins did things; outlives reloads */
    GRANT_PEER,     /* a channel to process `peer` number `index` */
    GRANT_KINDS
};

struct message_grant {
    enum grant_kind kind;
    uint32_t index;
    enum process peer; /* GRANT_PEER */
};
struct message_start {
    uint32_t index;      /* of this process among its kind */
    uint32_t count;      /* processes of this kind */
    uint32_t generation; /* of the configuration: 1, 2 ... */
    uint32_t uid, gid;   /* to become; UINT32_MAX: stay */
};
struct message_ready {
    uint8_t unused;
};
struct message_drain {
    uint8_t stop; /* 1: Tern ends, patience is timeouts.drain; 0: newer processes take over, what
                   * is open may end by itself */
};
struct message_reloaded {
    uint32_t generation; /* in force */
    uint64_t at_ms;      /* wall clock */
    bool ok;
    struct view words; /* the first error when not ok */
};

/* ---- smtpd and queue ---- */

enum spool_trouble {
    SPOOL_FINE,
    SPOOL_FULL,      /* 452 4.3.1: not enough disk */
    SPOOL_BROKEN,    /* 451 4.3.0: a write or sync failed */
    SPOOL_SUSPENDED, /* 421 4.3.2: failed again, or draining */
    SPOOL_INVALID,   /* 554 5.6.0: the queue could not read what smtpd sent */
    SPOOL_TROUBLES
};

struct message_spool_state {
    enum spool_trouble trouble;
    uint64_t room_bytes; /* the largest message that there is room for */
};
struct message_spool_part {
    uint64_t transaction;
    struct view bytes; /* rest of the packet */
};
struct message_spool_open {
    uint64_t transaction;
};
struct message_spool_opened {
    uint64_t transaction;
};
struct message_spool_commit {
    uint64_t transaction;
    uint64_t body_bytes;     /* of the whole body */
    uint32_t body_crc;       /* CRC32C of the whole body */
    bool big;                /* the body is in the file of SPOOL_OPENED */
    uint32_t envelope_ahead; /* bytes: the SPOOL_PARTs began with the whole envelope */
    struct view envelope;    /* mail/envelope.h; empty if it went ahead */
    struct view body;        /* rest of the packet: the body, or what SPOOL_PARTs left over */
};
struct message_spool_committed {
    uint64_t transaction;
    uint64_t message; /* its id in the queue */
};
struct message_spool_failed {
    uint64_t transaction; /* also the answer to a SPOOL_OPEN */
    enum spool_trouble trouble;
};
struct message_spool_abort {
    uint64_t transaction;
};

/* ---- queue and workers ---- */

enum { MAIL_HOSTS_MAX = 512 }; /* bytes of a set's name: "mx1.example.org,mx2.example.org" */

#define JOB_ALL_RCPTS UINT32_MAX /* as the recipient of an RCPT_RESULT */

enum { JOBS_MOST = 10000 }; /* of a worker at once; more than one can be configured to have */

struct message_ready_for {
    uint32_t jobs; /* that may run at once */
};
struct message_job_part {
    uint64_t job;
    struct view bytes;
};
struct message_job_start {
    uint64_t job;
    uint64_t message;
    uint32_t attempt; /* 1 for the first */
    /* the hop, as settings_hop gave it */
    uint8_t hop_kind; /* enum hop_kind */
    struct view hop_name, host;
    uint32_t route;       /* in the settings, which are the worker's too */
    struct view site;     /* whose limits hold: its name in the queue */
    struct view hosts;    /* what MX_ANSWER said of the domain; empty: nothing */
    uint32_t order;       /* likewise */
    uint32_t connections; /* of the site, at most, from now on */
    uint32_t messages_per_connection;
    uint64_t connection_us; /* from one attempt to connect to the next */
    bool bdat;              /* where it is offered */
    bool big;               /* the body is the file whose descriptor came along, read-only */
    uint64_t body_bytes;
    uint32_t body_crc;
    struct view envelope; /* mail/envelope.h, with the recipients of the job alone */
    struct view indexes;  /* of those in the whole envelope, u32 after u32: job_envelope */
    struct view body;     /* rest of the packet: the body, or what JOB_PARTs left over */
};
struct message_mx_ask {
    uint64_t question;
    struct view domain;
};
struct message_mx_answer {
    uint64_t question;
    struct view hosts; /* a name for the set: the same for all domains with the same mail hosts;
                        * at most MAIL_HOSTS_MAX bytes; empty: they cannot be found out now */
    uint32_t order;    /* the same where the same hosts are preferred to the same others */
};
struct message_way_ask {
    uint64_t question;
    bool mx;        /* `target` is a domain with mail hosts; else it is the host */
    uint8_t family; /* the only one that is used; 0: both */
    uint16_t port;
    struct view target;
};
struct message_way_answer {
    uint64_t question;
    struct view words; /* why there is nothing more to try, for people; may be empty */
    struct view hosts; /* way_host after way_host: way_hosts_put, way_hosts_take */
};
struct way_host {
    uint16_t preference;
    bool tried; /* else it comes behind the limit of hosts or addresses in one attempt */
    struct view name;
    struct view addresses; /* with ports, separated by blanks */
};
struct message_job_cancel {
    uint64_t job;
};
struct message_rcpt_result {
    uint64_t job;
    uint32_t rcpt;        /* one of the job's indexes, or JOB_ALL_RCPTS */
    uint32_t duration_ms; /* of the attempt */
    struct view outcome;  /* mail/outcome.h */
};
struct message_job_again {
    uint64_t job;
    uint32_t rcpts; /* that are asked for in it */
};
struct message_job_end {
    uint64_t job;
};

enum { TLS_MISSED_HOST_MAX = 384 }; /* bytes: a name, an address and a port */

struct message_tls_missed {
    uint64_t job;     /* that met it */
    uint32_t for_ms;  /* how long it is remembered */
    struct view host; /* as outcomes name it: "mx1.example.org[192.0.2.1]:25" */
};

/* The envelope of a job, and the index of each of its recipients, which names it in RCPT_RESULT.
 * Both borrow from the packet and from `arena`. False: malformed. */
bool job_envelope(const struct message_job_start *m, struct arena *arena, struct envelope *e,
                  const uint32_t **indexes) MUST_USE;
bool job_index_put(struct buf *out, uint32_t index) MUST_USE;

/* ---- dns and those that ask it ---- */

enum dns_question {
    DNS_ROUTE,     /* domain -> mail hosts by preference, equal ones shuffled (RFC 5321, 5.1) */
    DNS_ADDRESSES, /* host name -> addresses, IPv6 and IPv4 */
    DNS_LISTED,    /* name in a list of addresses -> IPv4 addresses that say why (RFC 5782) */
    DNS_NAME,      /* address -> the name of its host, if that has the address too */
    DNS_QUESTIONS
};
enum dns_result {
    DNS_OK,
    DNS_NO_DOMAIN, /* NXDOMAIN: permanent */
    DNS_NO_HOSTS,  /* the domain is there, but neither MX nor address, or there is no name that
                    * leads back to the address: permanent */
    DNS_NULL_MX,   /* RFC 7505: it takes no mail: permanent */
    DNS_TEMPORARY, /* SERVFAIL, time-out, no resolver answers: try again */
    DNS_MALFORMED, /* an answer that breaks the rules (CNAME loop, bad names): try again */
    DNS_RESULTS
};

struct message_dns_forget {
    uint64_t question;
};

struct message_dns_ask {
    uint64_t question;
    enum dns_question kind;
    struct view name;
};
struct message_dns_answer {
    uint64_t question;
    enum dns_result result;
    bool implicit;     /* DNS_ROUTE: no MX record, the domain itself is the host */
    struct view words; /* why not, for people: "SERVFAIL from 192.0.2.53" */
    struct view items; /* dns_item after dns_item: dns_items_put, dns_items_take */
    uint32_t item_count;
};
struct dns_item {
    uint16_t preference; /* DNS_ROUTE */
    struct view host;    /* DNS_ROUTE, DNS_NAME: a host name, lower case, valid */
    uint8_t family;      /* DNS_ADDRESSES, DNS_LISTED: AF_INET, AF_INET6 */
    uint8_t address[16];
};

bool dns_items_put(struct buf *out, enum dns_question kind, const struct dns_item *item) MUST_USE;
bool dns_items_take(struct view *rest, enum dns_question kind, struct dns_item *out) MUST_USE;
bool way_hosts_put(struct buf *out, const struct way_host *h) MUST_USE;
bool way_hosts_take(struct view *rest, struct way_host *out) MUST_USE;
const char *dns_result_name(enum dns_result r);

/* ---- smtpd and auth ---- */

enum login_result {
    LOGIN_OK,
    LOGIN_REFUSED,   /* 535 5.7.8, for whatever reason */
    LOGIN_TEMPORARY, /* 454 4.7.0: it cannot be checked now */
    LOGIN_TOO_MANY,  /* 454 4.7.0: too many have failed */
    LOGIN_RESULTS
};

struct message_login_state {
    struct view mechanisms; /* separated by blanks; empty: nobody can log in now */
};
struct message_login_begin {
    uint64_t exchange;
    uint64_t session; /* id in the logs */
    struct view mechanism;
    uint32_t listener;    /* of the configuration's, from 0 */
    struct view client;   /* "192.0.2.1" */
    struct view tls;      /* "TLSv1.3 TLS_AES_256_GCM_SHA384 256"; empty: plain text */
    struct view exporter; /* channel bindings: tls-exporter, RFC 9266 */
    struct view unique;   /* tls-unique, RFC 5929; both empty: there is none */
    bool initial;         /* there is an initial response */
    struct view response; /* decoded; rest of the packet */
};
struct message_login_challenge {
    uint64_t exchange;
    struct view bytes; /* not encoded */
};
struct message_login_response {
    uint64_t exchange;
    struct view bytes; /* decoded */
};
struct message_login_cancel {
    uint64_t exchange;
};
struct message_login_end {
    uint64_t exchange;
    enum login_result result;
    struct view login; /* who it is, in the form that is kept; LOGIN_OK */
};

/* ---- smtpd and keys ---- */

struct message_key_sign {
    uint64_t request;
    uint32_t key;      /* number of the certificate: 0 is the first */
    uint8_t how;       /* enum tls_signing, io/tls_key.h */
    struct view bytes; /* rest of the packet */
};
struct message_key_signed {
    uint64_t request;
    struct view bytes; /* the signature; empty: it cannot be signed so */
};

/* ---- master, tokens and delivery ---- */

enum { TOKEN_MAX = 8192 }; /* bytes */

struct message_token_ask {
    uint64_t question;
    uint64_t patience_ms;
    struct view command; /* its words, a NUL behind each */
};
struct message_token_answer {
    uint64_t question;
    uint64_t lifetime_s; /* from now on; 0: not said */
    struct view token;   /* empty: there is none */
    struct view words;   /* why not, for people */
};
struct message_token_refused {
    uint32_t route; /* of settings.routes: another token is granted, or the same, or none */
};

/* Encode writes a whole packet to `room` (CHANNEL_PACKET_MAX bytes); false: it does not fit.
 * Decode reads the fields behind the type; false: short, left over, or a value out of range. */
#define MESSAGE_CODEC(NAME, lower, from, to)                                                       \
    bool message_##lower##_encode(const struct message_##lower *m, struct buf *room) MUST_USE;     \
    bool message_##lower##_decode(struct view fields, struct message_##lower *m) MUST_USE;
MESSAGES(MESSAGE_CODEC)
#undef MESSAGE_CODEC

#endif
