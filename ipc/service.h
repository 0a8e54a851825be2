/* A role that others ask: takes the channels to them that master grants, and ends when it is told
 * to and nobody is left who might ask. */
#ifndef IPC_SERVICE_H
#define IPC_SERVICE_H

#include "common/list.h"
#include "ipc/role.h"

/* Who asks. The first field of the service's own struct for one; heap, made and freed here. */
struct client {
    struct peer peer; /* its link is in service.clients */
    struct deferred free_later;
    struct service *service;
};

struct service {
    struct role role;
    struct list clients;
    bool draining;
    /* Set between role_begin and service_run. */
    size_t client_bytes;            /* of that struct; zeroed before `came` */
    void (*came)(struct client *c); /* may be NULL */
    bool (*heard)(struct client *c, enum message type, struct view fields); /* as peer.heard */
    void (*gone)(struct client *c);                                         /* may be NULL */
};

/* role_run. Other grants than channels have been used, and closed, before. */
int service_run(struct service *s, struct sandbox *sandbox) MUST_USE;

#endif
