/* Questions to the dns process, from those that may ask it. */
#ifndef IPC_ASK_H
#define IPC_ASK_H

#include "common/table.h"
#include "ipc/peer.h"

enum { ASKER_UNSENT_MOST = 1 << 18 }; /* bytes in the channel; then questions wait at home */

struct question { /* embed; zeroed but for answered is "not asked" */
    struct table_entry entry;
    bool asked, sent;
    enum dns_question kind;
    struct view name; /* borrowed while it is asked */
    void (*answered)(struct question *q, const struct message_dns_answer *a);
};

struct asker {
    struct loop *loop;
    enum process self;
    struct peer dns;
    struct table questions; /* that wait for an answer */
    uint64_t next;
};

void asker_init(struct asker *a, struct loop *l, enum process self);
/* Takes the descriptor of a channel to (another) dns process; what waits is asked again there. */
void asker_connect(struct asker *a, uint32_t index, int fd);

/* Without a dns process, and while it takes no more, the question waits. `answered` is called from
 * the loop, once. */
void asker_ask(struct asker *a, struct question *q, enum dns_question kind, struct view name);
void asker_forget(struct asker *a, struct question *q); /* safe when not asked */

#endif
