/* Exchanges of AUTH, as they stand in SMTP: a mechanism, and lines of base64. Nobody who does not
 * know the password gets in. */
#include "auth/sasl.h"
#include "common/memory.h"
#include "common/text.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const char password[] = "not to be guessed";

static void check_end(struct sasl *s, enum sasl_step step)
{
    struct view login = sasl_login(s);

    assert(step != SASL_PROVEN); /* needs an HMAC of the password */
    if (step == SASL_REFUSED)
        assert(s->why != NULL);
    if (step == SASL_PASSWORD)
        assert(login.len > 0 && s->password_len > 0 && utf8_valid(login) && !view_has(login, '\0'));
}

static bool is_over(enum sasl_step step)
{
    return step == SASL_PASSWORD || step == SASL_PROVEN || step == SASL_REFUSED;
}

static void converse(struct view said)
{
    static struct scram_keys keys;
    const struct scram_bindings bindings = { VIEW("exporter"), VIEW("unique") };
    static char response_room[SASL_RESPONSE_MAX];
    char room[SASL_CHALLENGE_MAX];
    struct view line = view_take_until(&said, '\n');
    enum sasl_step step;
    struct sasl s;
    struct buf out;

    if (keys.iterations == 0) {
        struct scram_secret secret;

        scram_derive(view_of(password), VIEW("salt"), SCRAM_ITERATIONS_LEAST, &secret);
        keys = secret.keys;
    }
    if (!sasl_init(&s, view_take_word(&line), &bindings))
        return;
    out = BUF_ON_ARRAY(room);
    step = line.len == 0 ? sasl_begin(&s, &out) : SASL_CHALLENGE;
    if (line.len == 0)
        line = view_take_until(&said, '\n');
    while (!is_over(step)) {
        struct buf response = BUF_ON_ARRAY(response_room);
        char *copy;

        if (!base64_decode(line, &response))
            break;
        copy = memory_copy(buf_view(&response));
        out = BUF_ON_ARRAY(room);
        step = sasl_hear(&s, view_make(copy, buf_len(&response)), &out);
        free(copy);
        if (step == SASL_LOOK_UP) {
            assert(sasl_login(&s).len > 0);
            step = sasl_say_keys(&s, &keys, VIEW("nonce"), &out);
        }
        if (said.len == 0)
            break;
        line = view_take_until(&said, '\n');
    }
    check_end(&s, step);
    sasl_release(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *copy = memory_copy(view_make(bytes, len));

    converse(view_make(copy, len));
    free(copy);
    return 0;
}
