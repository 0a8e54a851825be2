#include "ipc/messages_codec.h"

CODEC_OF_ONE(LOGIN_CANCEL, login_cancel, exchange, 64)
CODEC_OF_PART(LOGIN_CHALLENGE, login_challenge, exchange)
CODEC_OF_PART(LOGIN_RESPONSE, login_response, exchange)
CODEC_OF_PART(KEY_SIGNED, key_signed, request)

bool message_login_state_encode(const struct message_login_state *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_LOGIN_STATE, room);

    wire_put_view(&w, m->mechanisms);
    return message_finish(&w, room);
}

bool message_login_state_decode(struct view fields, struct message_login_state *m)
{
    struct wire_reader r = wire_read(fields);

    m->mechanisms = wire_get_view(&r);
    return wire_done(&r);
}

bool message_login_begin_encode(const struct message_login_begin *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_LOGIN_BEGIN, room);

    wire_put_u64(&w, m->exchange);
    wire_put_u64(&w, m->session);
    wire_put_view(&w, m->mechanism);
    wire_put_u32(&w, m->listener);
    wire_put_view(&w, m->client);
    wire_put_view(&w, m->tls);
    wire_put_view(&w, m->exporter);
    wire_put_view(&w, m->unique);
    wire_put_bool(&w, m->initial);
    wire_put_rest(&w, m->response);
    return message_finish(&w, room);
}

bool message_login_begin_decode(struct view fields, struct message_login_begin *m)
{
    struct wire_reader r = wire_read(fields);

    m->exchange = wire_get_u64(&r);
    m->session = wire_get_u64(&r);
    m->mechanism = wire_get_view(&r);
    m->listener = wire_get_u32(&r);
    m->client = wire_get_view(&r);
    m->tls = wire_get_view(&r);
    m->exporter = wire_get_view(&r);
    m->unique = wire_get_view(&r);
    m->initial = wire_get_bool(&r);
    m->response = wire_get_rest(&r);
    return wire_done(&r);
}

bool message_login_end_encode(const struct message_login_end *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_LOGIN_END, room);

    wire_put_u64(&w, m->exchange);
    wire_put_u8(&w, (uint8_t)m->result);
    wire_put_view(&w, m->login);
    return message_finish(&w, room);
}

bool message_login_end_decode(struct view fields, struct message_login_end *m)
{
    struct wire_reader r = wire_read(fields);

    m->exchange = wire_get_u64(&r);
    m->result = (enum login_result)wire_get_enum(&r, LOGIN_RESULTS);
    m->login = wire_get_view(&r);
    return wire_done(&r);
}

bool message_key_sign_encode(const struct message_key_sign *m, struct buf *room)
{
    struct wire_writer w = message_begin(MESSAGE_KEY_SIGN, room);

    wire_put_u64(&w, m->request);
    wire_put_u32(&w, m->key);
    wire_put_u8(&w, m->how);
    wire_put_rest(&w, m->bytes);
    return message_finish(&w, room);
}

bool message_key_sign_decode(struct view fields, struct message_key_sign *m)
{
    struct wire_reader r = wire_read(fields);

    m->request = wire_get_u64(&r);
    m->key = wire_get_u32(&r);
    m->how = wire_get_u8(&r);
    m->bytes = wire_get_rest(&r);
    return wire_done(&r);
}
