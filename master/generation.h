/* A generation: one reading of the configuration, and everything opened for it. A reload makes a
 * new one beside the old; nothing of the old one changes until the new one runs. */
#ifndef MASTER_GENERATION_H
#define MASTER_GENERATION_H

#include "common/error.h"
#include "common/list.h"
#include "ipc/identity.h"
#include "master/lists.h"

#include <sys/stat.h>
#include <sys/types.h>

struct generation {
    struct list link; /* in master.generations */
    uint32_t number;  /* 1, 2 ... */
    struct config *config;
    struct settings settings;
    int bundle_fd;     /* sealed memory file for the other processes */
    int *listener_fds; /* one for each of settings.listeners */
    int certificate_fds[CERTIFICATES_MAX], key_fds[CERTIFICATES_MAX]; /* -1: none */
    int anchors_fd, client_ca_fd;                                     /* -1: none */
    struct secret {
        int fd; /* -1: none */
        struct stat seen;
        /* Of a token that a command gets; master/tokens.c. Monotonic; 0: at once, or never. */
        uint64_t due_ms, expires_ms, refused_ms;
        uint64_t pause_ms;      /* since the command has failed; 0: it has not */
        uint64_t question;      /* 0: it does not run */
    } * secrets;                /* one for each of settings.routes */
    int *route_ca_fds;          /* the same; -1: none */
    struct watched_list *lists; /* of the rules; as many as they have */
    int counters_fd;            /* shared by the smtpd processes */
    int tickets_fd;             /* the same: the secret of their TLS session tickets, another in each
                                   generation, so that a reload ends what older ones are worth */
    int rates_fd;               /* the same, and by all generations */
    uint32_t smtpd_count, delivery_count;
    struct identity users[PROCESS_KINDS];
};

/* Reads the file, checks it, opens keys and sockets; listening sockets of `old` (may be NULL) for
 * the same address are shared. On failure nothing stays open: -EINVAL when the configuration has
 * mistakes (reported on standard error), else another negative errno; *err has words for both. */
int generation_open(struct generation *g, const char *path, const struct generation *old,
                    struct error *err) MUST_USE;
void generation_close(struct generation *g);
/* Another secret in tickets_fd; a negative errno and *err leave the one before. */
int generation_renew_tickets(struct generation *g, struct error *err) MUST_USE;
/* The secret of a route is another than before, and open now. One that cannot be read is logged,
 * and the old one stays. */
bool generation_renew_secret(struct generation *g, size_t route);
/* The secret is this from now on; empty: there is none. */
int generation_set_secret(struct generation *g, size_t route, struct view secret,
                          struct error *err) MUST_USE;
/* So that nobody waits in the backlog of a socket that no process accepts from. */
void generation_close_listeners(struct generation *g);

/* Makes the folders of the spool, the mailboxes and the control socket when they are missing, owned
 * by who uses them. An existing folder is left as it is. */
int generation_make_folders(const struct generation *g, struct error *err) MUST_USE;

#endif
