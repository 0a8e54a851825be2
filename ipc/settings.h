/* Everything that can be configured, as every process sees it. One table a section in settings.c;
 * constant for the life of a process (the queue alone takes new ones while it runs). */
#ifndef IPC_SETTINGS_H
#define IPC_SETTINGS_H

#include "common/error.h"
#include "common/table.h"
#include "common/view.h"
#include "io/config.h"
#include "io/log.h"
#include "io/net.h"
#include "mail/address.h"
#include "mail/envelope.h"
#include "mail/pattern.h"
#include "mail/reply.h"

/* The build defines CONTROL_DEFAULT and SPOOL_DEFAULT, by its options run_dir and spool_dir. */

struct network_list {
    const struct net_block *blocks;
    size_t count;
};

enum listener_tls {
    LISTENER_TLS_OFFERED, /* STARTTLS when there is a certificate; the default */
    LISTENER_TLS_NONE,
    LISTENER_TLS_IMPLICIT, /* from the first byte; needs a certificate */
    LISTENER_TLS_REQUIRED, /* STARTTLS, and no mail before it; needs a certificate */
};

/* A list of addresses in the DNS (RFC 5782). */
struct list_settings {
    struct view zone;
    struct network_list answers; /* that count; none: all within 127.0.0.0/8 */
    bool allow;                  /* who is on it is not blocked by another */
};

/* What the rates limit. */
enum rate_kind { RATE_CONNECTIONS, RATE_MESSAGES, RATE_RECIPIENTS, RATE_FAILURES, RATE_KINDS };
enum rate_surplus { SURPLUS_REFUSE, SURPLUS_HOLD };

struct rates_settings {
    struct config_rate client[RATE_KINDS], network[RATE_KINDS], login[RATE_KINDS];
    unsigned login_surplus;                    /* enum rate_surplus */
    uint64_t network_prefix4, network_prefix6; /* bits: 24, 48 */
};

struct strangers_settings { /* clients that may not relay for their address */
    uint64_t greet_delay_ms, slow_ms;
    uint64_t slow_after;         /* refused commands: 3 */
    uint64_t content_rate;       /* bytes a second: 100 */
    struct list_settings *lists; /* those that block, and those that allow */
    size_t list_count;
    uint64_t list_timeout_ms; /* 5s */
};

struct limits_settings {
    uint64_t message_bytes;                  /* 50M */
    uint64_t recipients;                     /* of a message: 100 to 1000, default 1000 */
    uint64_t hops;                           /* Received fields: 50 */
    uint64_t connections;                    /* in total: 1000 */
    uint64_t connections_per_client;         /* 50 */
    uint64_t client_prefix4, client_prefix6; /* bits: 32, 64 */
    uint64_t errors;                         /* refused commands of a session before 421: 20 */
    uint64_t notices;                        /* to a domain an hour, about mail of strangers: 100 */
    uint64_t address_memory_bytes; /* of messages that arrive, in one smtpd process: 32M */
    uint64_t body_memory_bytes;    /* bodies held in memory by one smtpd process: 64M */
};

struct timeouts_settings { /* all in ms */
    uint64_t command;      /* waiting for a client's command: 5m (RFC 5321, 4.5.3.2.7) */
    uint64_t content;      /* waiting for more of a message: 3m */
    uint64_t message;      /* a whole message, first to last byte: 30m */
    uint64_t session;      /* a whole session that sends no message: 30m */
    uint64_t handshake;    /* TLS, both directions: 1m */
    uint64_t commit;       /* smtpd waiting for the queue: 1m */
    uint64_t drain;        /* after SIGTERM, for running transactions: 30s */
    uint64_t connect;      /* to a remote host: 30s */
    uint64_t greeting, ehlo, mail, rcpt, data, block, final, rset; /* client: RFC 5321, 4.5.3.2 */
    uint64_t opening;         /* from the connection to the first message: 10m */
    uint64_t transaction;     /* a whole message to a remote host, up to its final dot: 1h */
    uint64_t idle_connection; /* a connection kept for the next message: 5s */
    uint64_t token;           /* a command that gets one: 30s */
};

/* A role is a set of defaults (settings_listen.c); beside those it decides whether messages are
 * completed as submissions are (RFC 6409, 8). */
enum listener_role { LISTENER_MX, LISTENER_SUBMISSION, LISTENER_TRUSTED };
enum listener_relay { LISTENER_RELAY_NETWORKS, LISTENER_RELAY_LOGINS };

/* SMTP extensions that can be switched off: for all listeners, or for one. */
enum extension {
    EXTENSION_CHUNKING,
    EXTENSION_DSN,
    EXTENSION_SMTPUTF8,
    EXTENSION_REQUIRETLS,
    EXTENSION_LIMITS,
    EXTENSION_DELIVERBY,
    EXTENSION_FUTURERELEASE,
    EXTENSION_MT_PRIORITY,
    EXTENSIONS
};

struct extension_settings {
    bool on[EXTENSIONS];
};

/* Logins that may fail, of a client and of a login, and are forgotten within that time. */
struct tries_settings {
    uint64_t per_client, per_login;
    uint64_t time_ms;
};

struct listener_settings {
    unsigned role;              /* enum listener_role */
    struct net_address address; /* with port */
    struct view name;           /* as given, else its address and port */
    unsigned tls;               /* enum listener_tls */
    unsigned relay;             /* enum listener_relay: who, beside logins, may send anywhere */
    unsigned auth;              /* enum listener_auth */
    struct network_list trust;  /* may relay through this listener, beside settings.trust */
    struct network_list proxy, xclient; /* who may say that a client is another */
    bool strangers;                     /* who may not relay may send to the domains here */
    bool hide_client;                   /* from the Received field */
    struct view hostname;               /* empty: settings.hostname */
    struct view domain; /* of addresses that are submitted without one; empty: its hostname */
    struct view banner; /* behind the name, in the greeting */
    /* Those of all, with what is given here: the first rows of each section. */
    struct limits_settings limits;
    struct rates_settings rates;
    struct strangers_settings manners;
    struct timeouts_settings timeouts;
    struct tries_settings tries;
    struct extension_settings extensions; /* beside settings.extensions */
    const char *origin;                   /* "file:line" */
};

enum listener_auth {
    LISTENER_AUTH_TLS, /* under TLS only; the default */
    LISTENER_AUTH_PLAIN,
    LISTENER_AUTH_NONE,
};

enum domain_kind {
    DOMAIN_LOCAL,
    DOMAIN_RELAY,
    DOMAIN_ALIASES, /* has no mailboxes, only aliases */
};

/* A domain that mail from anybody is accepted for. */
struct domain_settings {
    struct table_entry entry; /* by name, without case */
    struct view name;
    unsigned deliver; /* enum domain_kind */
    bool directory;   /* DOMAIN_LOCAL: each folder below maildir.root/DOMAIN is a mailbox */
    const char *origin;
    struct config_node *node; /* for mistakes */
};

/* A mailbox: who it is for, and its folder below maildir.root. */
struct mailbox_settings {
    struct table_entry entry; /* by address_key, unless it is a pattern */
    struct view address;      /* as configured, or "/sales-.*@example\.org/" over address_key */
    struct pattern *pattern;  /* the latter, compiled when settings_mailbox first needs it */
    void (*release)(struct pattern **pattern); /* of `pattern`; NULL: not compiled */
    struct view folder; /* relative, checked: one or two names of a-z 0-9 . _ - + @ that
                         * do not begin with a dot, joined by '/' */
    const char *origin;
};

/* Who the mail of an address goes to. */
struct alias_settings {
    struct table_entry entry; /* by name */
    struct view name; /* "local@domain", "local" in every domain with mailboxes, "@domain" for
                       * what nobody else has; lower case */
    const struct view *targets; /* addresses, or local parts: expand.h */
    size_t target_count;        /* at least 1 */
    const char *origin;
    struct config_node *node; /* for mistakes */
};

/* What a connection to another host has to prove. */
enum route_tls {
    ROUTE_TLS_OFFERED, /* encrypted when the host offers it */
    ROUTE_TLS_NONE,
    ROUTE_TLS_ENCRYPT, /* encrypted, to whomever */
    ROUTE_TLS_VERIFY,  /* and the certificate is for the host's name (RFC 9525) */
    ROUTE_TLS_LEVELS
};

enum target_kind {
    TARGET_MX,   /* the mail hosts of the recipient's domain */
    TARGET_HOST, /* a host; A and AAAA only, no MX */
    TARGET_PATH, /* a UNIX socket */
    TARGET_DISCARD,
    TARGET_REPLY, /* none: as if a host had said this */
};

struct route_target {
    unsigned kind;     /* enum target_kind */
    bool lmtp;         /* RFC 2033 */
    bool implicit_tls; /* smtps:// */
    uint16_t port;
    struct view host; /* a name, an address, a path, or the words of a reply */
    unsigned code;    /* TARGET_REPLY */
    struct enhanced enhanced;
};

enum { ROUTE_TARGETS_MAX = 16 };

/* Where mail goes instead of to the MX hosts of its domain. Conditions that are empty always hold.
 */
enum { ROUTE_COMMAND_WORDS_MAX = 64 };

struct route_settings {
    struct view name;   /* for rules to choose it, and for the queue; may be empty */
    struct view domain; /* "example.net", ".example.net" (subdomains), "*" (everything) */
    struct view sender; /* an address, a domain as above, "<>" */
    struct view login, tag;
    struct route_target
        targets[ROUTE_TARGETS_MAX]; /* TARGET_MX only first; what has no host, alone */
    size_t target_count;
    bool balance;                          /* begin with each in turn */
    struct net_address sources[2];         /* to connect from; one of a family */
    size_t source_count;                   /* 0: any */
    unsigned tls;                          /* enum route_tls */
    struct view ca;                        /* path of its trust anchors; empty: tls.trust-anchors */
    struct view auth_login;                /* to log in as; empty: not at all */
    struct view auth_password, auth_token; /* paths; one of them, or: */
    struct view auth_command; /* words, a NUL behind each, that print a token when they are run */
    const char *origin;
};

/* Whose a client's certificate is. */
struct client_certificate_settings {
    struct view name; /* "host.example.org", "bob@example.org" or "sha256:HEX": tls_client_is */
    struct view login;
};

/* The addresses that a login may send from. */
struct sender_settings {
    struct table_entry entry;
    struct view login; /* "*": every login that has no entry of its own */
    const struct view
        *addresses; /* "bob@example.org", "@example.org" (all of the domain), "*" (all) */
    size_t count;
    const char *origin;
};

/* So many in a period, one interval after the other. */
struct rate {
    bool set;
    uint64_t count; /* 0: no limit */
    uint64_t period_ms;
};

struct retry_settings {
    uint64_t first_ms;       /* 5m */
    uint64_t factor_milli;   /* 2.0 */
    uint64_t longest_ms;     /* 4h */
    uint64_t lifetime_ms;    /* 5d */
    uint64_t notice_ms;      /* delay notice after 4h; 0: none */
    uint64_t jitter_percent; /* 10: of each interval, either way */
};

/* What is kept to with a destination. */
struct destination_limits {
    uint64_t concurrency; /* connections */
    uint64_t messages_per_connection;
    struct rate messages, recipients, connections;
    struct retry_settings retry; /* only the intervals are a destination's own */
    bool bdat;                   /* instead of DATA, where it is offered: yes */
};

struct name_list {
    const struct view *names; /* "example.net", ".example.net"; lower case */
    size_t count;
};

struct destination_settings {
    struct view name; /* empty: none */
    struct name_list domains, hosts;
    struct destination_limits limits; /* 0: as in the section delivery, or retry */
    const char *origin;
};

enum tls_minimum { TLS_MINIMUM_12, TLS_MINIMUM_13 };
enum { CERTIFICATES_MAX = 64 }; /* with the first */
enum { SPOOL_BIG_BODY_MAX = 3 << 20 };

struct certificate_settings {
    struct view certificate, key; /* paths */
};

struct settings {
    struct view hostname; /* the only item without a default */
    struct view control;  /* path of the control socket: CONTROL_DEFAULT */
    struct listener_settings *listeners;
    size_t listener_count;     /* default: one, "*:25" */
    struct network_list trust; /* may relay through every listener; default: loopback */
    struct extension_settings extensions;
    struct rules *rules; /* ipc/rules.h; never NULL */
    unsigned log_format; /* enum log_format */
    unsigned log_level;  /* enum log_level */

    struct users_settings {
        struct view smtpd, queue, delivery, dns, local, auth, keys,
            tokens; /* system users, when started as root */
    } users;
    struct tls_settings {
        struct view certificate, key;            /* paths; both or neither */
        const struct certificate_settings *more; /* beside it, by SNI */
        size_t more_count;
        unsigned minimum;          /* enum tls_minimum, for clients of ours */
        struct view trust_anchors; /* path of a CA bundle; may be missing unless required */
    } tls;

    struct auth_settings {
        struct tries_settings tries; /* stands first, since listeners have its rows, too */
        struct view users;           /* path of the user file... */
        struct view dovecot;   /* ...or of Dovecot's auth socket; both empty: nobody can log in */
        uint64_t timeout_ms;   /* smtpd waiting for auth: 1m */
        struct view client_ca; /* path of the authorities of client certificates; empty: none */
        const struct client_certificate_settings *certificates;
        size_t certificate_count;
        bool check_from;      /* the From field too */
        struct table senders; /* struct sender_settings by login, without ASCII case */
    } auth;

    struct table domains;                 /* struct domain_settings */
    struct domain_settings **domain_list; /* the same, in order */
    size_t domain_count;
    struct table mailboxes;             /* struct mailbox_settings with an address */
    struct mailbox_settings **patterns; /* those with a pattern, in order */
    size_t pattern_count;
    struct table folders; /* struct mailbox_settings of directory domains, as they were gathered */
    struct table aliases; /* struct alias_settings */
    struct view detail; /* characters that end a mailbox's name: "bob+news" is bob; may be empty */
    struct route_settings *routes; /* in order; first match wins */
    size_t route_count;
    struct destination_settings *destinations; /* in order; first match wins */
    size_t destination_count;

    struct maildir_settings {
        struct view root;
    } maildir;
    struct spool_settings {
        struct view path;
        uint64_t segment_bytes;  /* 64M; a power of two, 1M to 64M */
        uint64_t big_body_bytes; /* 256K: larger bodies are files of their own; at most half that */
        uint64_t reserve_bytes;  /* 512M: with less free, new mail is answered 452 */
        bool recycle;            /* files of the log are written before their use, and used again */
        uint64_t cache_bytes;    /* 64M: fresh small bodies kept in memory */
        uint64_t trash_bytes;    /* 1G: of deleted messages */
        uint64_t trash_ms;       /* 1d */
        uint64_t history_bytes;  /* 256M: of records of mail that is done */
        uint64_t history_ms;     /* 7d */
    } spool;
    struct dns_settings {
        struct net_address *servers; /* default: those of the system's resolver configuration */
        size_t server_count;
        uint64_t timeout_ms; /* of one try */
        uint64_t tries;      /* of each server */
        uint64_t cache_entries;
        uint64_t ttl_most_ms, negative_ttl_ms;
    } dns;
    struct rates_settings rates;
    struct strangers_settings strangers;
    struct limits_settings limits;
    struct timeouts_settings timeouts;
    struct retry_settings retry;
    struct delivery_settings {
        uint64_t concurrency;             /* connections to one destination: 20 */
        uint64_t connections;             /* of one delivery process: 500 */
        uint64_t hosts;                   /* MX hosts tried in one attempt: 5 */
        uint64_t addresses;               /* addresses tried in one attempt: 8 */
        uint64_t messages_per_connection; /* 100 */
        struct rate message_rate, recipient_rate, connection_rate; /* of one destination: none */
        uint64_t port;                                             /* of MX hosts: 25 */
        bool loopback; /* deliver to loopback addresses that MX records name: no */
        const struct net_address *own; /* addresses that lead here by way of others: none */
        size_t own_count;
    } delivery;
    struct workers_settings {
        uint64_t smtpd;    /* 0: one a processor */
        uint64_t delivery; /* 1 */
    } workers;
};

/* Reads `c` into *s. Every mistake is reported in c; views and tables live as long as c. */
void settings_read(struct settings *s, struct config *c);
/* What master and the admin tool do before settings_read, for all: whether the mailboxes' patterns
 * compile, and what only the running machine can say: system resolvers (attached as "resolvers")
 * and the folders of directory domains (attached as "folders/DOMAIN"). Reports into c. */
void settings_gather(struct config *c);
/* settings_gather, settings_read, and a look at where aliases lead: for those who read the
 * configuration for all. */
void settings_load(struct settings *s, struct config *c);
void settings_release(struct settings *s); /* patterns and table buckets */

/* Can anybody log in? Then there is an auth process. */
bool settings_has_logins(const struct settings *s);
/* May who has logged in send from this address? Without an entry: from the address that the login
 * is, or from its name at this host and at the domains with mailboxes or aliases. An address counts
 * as it is, and without its detail. */
bool settings_login_owns(const struct settings *s, struct view login,
                         const struct address *a) MUST_USE;

const struct domain_settings *settings_domain(const struct settings *s, struct view domain);
/* MAILBOX_UNSURE: a pattern took too many steps, and nobody knows (PATTERN_FAILED). */
enum mailbox_answer { MAILBOX_NONE, MAILBOX_HERE, MAILBOX_UNSURE };
/* Exactly this address has one: by its name, a pattern, or the directory rule. */
enum mailbox_answer settings_has_mailbox(const struct settings *s,
                                         const struct address *a) MUST_USE;
/* The same without looking at patterns: any of them may be it. */
enum mailbox_answer settings_may_have_mailbox(const struct settings *s,
                                              const struct address *a) MUST_USE;
/* "bob+news" becomes "bob"; false: there is no detail. */
bool settings_drop_detail(const struct settings *s, struct address *a) MUST_USE;
/* The mailbox of an address whose domain is ours (or that has none: "postmaster"). The address as
 * it is, then without its detail. Mail about abuse is the postmaster's if nobody else has it (RFC
 * 2142, 4). A postmaster who is not found so is the mailbox "postmaster" of the configuration, else
 * that of the first local domain which has one (RFC 5321, 4.5.1). `folder` receives its folder
 * below maildir.root. */
/* What this machine calls itself: `name`, or that of a listener. */
bool settings_is_own_name(const struct settings *s, struct view name);
enum mailbox_answer settings_find_mailbox(const struct settings *s, const struct address *a,
                                          const struct mailbox_settings **out) MUST_USE;
enum mailbox_answer settings_mailbox(const struct settings *s, const struct address *a,
                                     struct buf *folder) MUST_USE;
/* "/PATTERN/": takes the slashes away; false when it is no pattern. */
bool settings_take_pattern(struct view *text);
bool network_list_has(const struct network_list *l, const struct net_address *a);

/* Its condition on the domain holds. */
bool settings_route_matches(const struct route_settings *r, struct view domain);

/* The entry for a domain, or for a set of mail hosts: "mx1.example.org,mx2.example.org", of which
 * each must match. NULL: none. */
const struct destination_settings *settings_destination(const struct settings *s,
                                                        struct view domain, struct view hosts);
/* The entry is for this domain itself, wherever its hosts are. */
bool settings_destination_names(const struct destination_settings *d, struct view domain);
/* What holds with it; NULL: with every other. */
void settings_limits(const struct settings *s, const struct destination_settings *d,
                     struct destination_limits *out);
uint64_t rate_interval_us(const struct rate *r); /* 0: no limit */

/* Where mail for a recipient goes now: the next hop. */
enum hop_kind {
    HOP_LOCAL,
    HOP_NOWHERE, /* where settings_hop finds no way: what comes there fails at once */
    HOP_MX,      /* the mail hosts of `host`, by a route or without one */
    HOP_HOST,    /* an address literal that no route takes */
    HOP_ROUTE,   /* what the route names */
    HOP_KINDS
};

struct hop {
    enum hop_kind kind;
    struct view name; /* destination's name for logs and grouping, one for each way to deliver: the
                       * domain in lower case, "host:port", a route's name, "local" ... */
    struct view host; /* HOP_HOST: the address; HOP_MX: the domain, or a literal's address */
    uint32_t route;   /* number in settings.routes, plus 1; 0: none */
};

/* Local domains go to HOP_LOCAL, others by the route that a rule chose, the first that matches, or
 * by MX; an address literal is its own mail host. `room` holds the name. False: the address has no
 * domain and is not postmaster's, or mail may not be sent to the address that it should go to. */
bool settings_hop(const struct settings *s, const struct envelope *e, const struct address *rcpt,
                  struct buf *room, struct hop *out) MUST_USE;

enum { SETTINGS_WAY_MAX = 8192 }; /* bytes of a way in words; more is cut */

/* "smtp://smart.example.org:25", "discard", "550 5.7.1 not here" ... */
void settings_print_target(const struct route_target *t, struct buf *out);
/* All that decides how mail gets there: hosts, ports, TLS, source address and login. */
void settings_print_way(const struct settings *s, const struct hop *hop, struct buf *out);

/* Some route gets its token by a command. */
bool settings_has_commands(const struct settings *s);

/* "opportunistic", "none", "encrypt", "verify". */
const char *settings_tls_name(enum route_tls level);

/* For the manual page test: every item of every section ("" at the top level). */
size_t settings_item_count(void);
void settings_item(size_t i, const char **section, const struct config_item **item);

#endif
