/* The control socket of the admin tool. A request is one line of words, `verb key=value ...`, where
 * a value has %XX for '%', blanks and control bytes. An answer is JSON, one object a line, and ends
 * with {"end":true,"matched":N} or {"error":"..."}.
 *
 *   status
 *   list | show | retry | hold | release | delete | undelete
 *                                                   and which messages: all, id=, sender=,
 *                                                   recipient=, domain= (of a recipient), state=
 *
 *   get                      which messages, as above; the messages themselves, queue/parcel.h
 *   put envelope=N size=N crc=HEX [hold=1]
 *                            is answered by {"ready":true}; then so many bytes of an envelope and
 * of a body follow, and the answer has the new message's id: it is durable
 *
 * Several conditions must all hold; several id= are any of them. Only root and the queue's own
 * user may change anything, or see what is in messages. */
#ifndef QUEUE_CONTROL_H
#define QUEUE_CONTROL_H

#include "queue/queue.h"

struct control *control_new(struct queue *q) MUST_USE;
void control_free(struct control **c);
/* The listening socket; taken. */
void control_listen(struct control *c, int fd);
/* One connected socket, for offline use: read verbs only. The loop stops when it ends. */
int control_serve(struct control *c, int fd) MUST_USE;

#endif
