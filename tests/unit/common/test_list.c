#include "common/list.h"

#include "tests/unit/unit.h"

struct item {
    char letter;
    struct list link;
};

static void check_order(struct list *head, const char *letters)
{
    list_each (it, head) {
        assert_int_equal(container_of(it, struct item, link)->letter, *letters);
        assert_ptr_equal(it->next->prev, it);
        letters++;
    }
    assert_int_equal(*letters, '\0');
}

static void keeps_the_order(void **state)
{
    struct item items[] = { { .letter = 'a' }, { .letter = 'b' }, { .letter = 'c' } };
    struct list head;

    (void)state;
    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(list_take_first(&head));
    list_append(&head, &items[0].link);
    list_append(&head, &items[1].link);
    list_insert_after(&items[0].link, &items[2].link);
    check_order(&head, "acb");
    list_remove(&items[2].link);
    list_remove(&items[2].link);
    assert_true(list_empty(&items[2].link));
    check_order(&head, "ab");
    assert_ptr_equal(list_take_first(&head), &items[0].link);
    assert_true(list_empty(&items[0].link));
    assert_ptr_equal(list_take_first(&head), &items[1].link);
    assert_true(list_empty(&head));
}

static void elements_may_leave_in_a_walk(void **state)
{
    struct item items[] = { { .letter = 'a' }, { .letter = 'b' }, { .letter = 'c' } };
    struct list head;

    (void)state;
    list_init(&head);
    for (size_t i = 0; i < COUNT_OF(items); i++)
        list_append(&head, &items[i].link);
    list_each_safe (it, &head) {
        if (container_of(it, struct item, link)->letter != 'b')
            list_remove(it);
    }
    check_order(&head, "b");
    list_each_safe (it, &head)
        list_remove(it);
    check_order(&head, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_order),
        cmocka_unit_test(elements_may_leave_in_a_walk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
