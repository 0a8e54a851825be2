/* Intrusive doubly linked list. The head is a struct list too; an element that is in
 * no list points at itself. */
#ifndef COMMON_LIST_H
#define COMMON_LIST_H

#include "common/attrs.h"

#include <stdbool.h>

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_after(struct list *where, struct list *l)
{
    l->prev = where;
    l->next = where->next;
    where->next->prev = l;
    where->next = l;
}

static inline void list_append(struct list *head, struct list *l)
{
    list_insert_after(head->prev, l);
}

/* Safe on an element that is in no list (after list_init). */
static inline void list_remove(struct list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

/* The first element, removed; NULL if there is none. */
static inline struct list *list_take_first(struct list *head)
{
    struct list *l = head->next;

    if (l == head)
        return NULL;
    list_remove(l);
    return l;
}

#define list_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The current element may be removed and freed in the body. */
#define list_each_safe(it, head)                                                                   \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

#endif
