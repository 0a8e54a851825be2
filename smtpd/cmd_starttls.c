#include "smtpd/commands.h"

/* RFC 3207, 4. That nothing follows the command is a rule of the table. */
struct step run_starttls(struct session *s, struct view args)
{
    struct step step = step_accept(s->state, 220, "2.0.0", "Ready to start TLS");

    (void)args;
    if (s->tls[0] != '\0')
        return step_refuse(s, 503, "5.5.1", "TLS is active already");
    if (!s->rules->starttls)
        return step_refuse(s, 454, "4.7.0", "TLS is not available");
    step.wish = WISH_TLS;
    return step;
}
