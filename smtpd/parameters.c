#include "smtpd/parameters.h"

#include "mail/params.h"

/* `seen` has a bit for each of the parameters that were there. */
static struct step take_one(struct session *s, const struct parameter *all, size_t count,
                            const struct param *p, unsigned *seen)
{
    for (size_t i = 0; i < count; i++) {
        if (!view_equal_nocase(all[i].keyword, p->keyword) || !extension_on(s, all[i].of))
            continue;
        if (*seen & 1u << i)
            return step_refuse(s, 501, "5.5.4", "Parameter given twice");
        *seen |= 1u << i;
        return all[i].take(s, p->value);
    }
    return step_refuse(s, 555, "5.5.4", "Parameter not recognized");
}

struct step parameters_take(struct session *s, const struct parameter *all, size_t count,
                            struct view args)
{
    struct step step = step_accept(s->state, 0, NULL, NULL);
    enum params_result result;
    struct param p;
    unsigned seen = 0;

    while ((result = params_take(&args, &p)) == PARAMS_NEXT) {
        step = take_one(s, all, count, &p, &seen);
        if (step.code != 0)
            return step;
    }
    return result == PARAMS_END ? step : step_refuse(s, 501, "5.5.4", "Malformed parameters");
}
