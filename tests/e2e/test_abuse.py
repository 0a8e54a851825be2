"""Clients that want too much: each is told, and the others are served as ever."""
import namespace
import test_login
from test_submission import HELLO
from world import RawClient

STRANGER = "127.0.0.9"  # loopback, but not trusted


def stranger(source=STRANGER):
    c = RawClient(source=source)
    c.hello()
    return c


def test_messages_of_a_stranger_have_a_rate_over_a_reload(world):
    world.start_relay(rates={"client-messages": "3/1h"}, workers={"smtpd": 2})
    for _ in range(3):
        with stranger() as c:
            c.begin("a@there.test", "alice@here.test")
            assert c.command(HELLO.decode().rstrip() + "\r\n.").startswith("250")
    with stranger() as c:
        assert c.command("MAIL FROM:<a@there.test>").startswith("450 4.7.1")
    world.reload()
    with stranger() as c:
        assert c.command("MAIL FROM:<a@there.test>").startswith("450 4.7.1")
    with stranger("127.0.0.10") as c:  # another one
        assert c.command("MAIL FROM:<a@there.test>").startswith("250")
    for _ in range(5):  # trusted
        world.send("a@here.test", "alice@here.test", HELLO)
    world.mailbox("alice").wait(8)


def test_recipients_of_a_network_have_a_rate(world):
    world.start_relay(rates={"network-recipients": "3/1h"})
    with stranger() as c:
        assert c.command("MAIL FROM:<a@there.test>").startswith("250")
        for _ in range(3):
            assert c.command("RCPT TO:<alice@here.test>").startswith("250")
    with stranger("127.0.0.10") as c:
        assert c.command("MAIL FROM:<a@there.test>").startswith("250")
        assert c.command("RCPT TO:<alice@here.test>").startswith("450 4.7.1")
    with RawClient(25, namespace.OWN, source=namespace.OWN) as c:
        c.hello()
        assert c.command("MAIL FROM:<a@there.test>").startswith("250")
        assert c.command("RCPT TO:<alice@here.test>").startswith("250")


def test_new_connections_have_a_rate(world):
    world.start_relay(rates={"client-connections": "3/1h"})
    for _ in range(3):
        stranger().close()
    with RawClient(source=STRANGER) as c:
        assert c.reply() == "421 4.7.0 Too many new connections from your network, try again later"
        assert c.reply() == ""
    world.log.wait("connection_refused", client=STRANGER,
                   reason="too many new connections of this client")
    stranger("127.0.0.10").close()


def test_who_guesses_addresses_is_sent_away_and_stays_away(world):
    world.start_relay(rates={"client-failures": "5/1h"}, strangers={"slow-by": "0s"})
    with stranger() as c:
        c.command("MAIL FROM:<a@there.test>")
        replies = [c.command(f"RCPT TO:<guess{i}@here.test>") for i in range(6)]
        assert all(r.startswith("550 5.1.1") for r in replies[:5])
        assert replies[5].startswith("421 4.7.0")
    with RawClient(source=STRANGER) as c:
        assert c.reply() == "421 4.7.0 Too much from your network was refused, try again later"
    stranger("127.0.0.10").close()


def test_a_login_has_so_many_sessions_and_failures(world):
    world.configure(rates={"login-connections": "3/1h", "login-failures": "3/1h"})
    test_login.start(world)

    def ask(*commands):
        with world.connect(2526) as c:
            c.hello()
            return [c.command(command) for command in (test_login.plain("alice@here.test"), *commands)]

    login, *replies = ask("X1", "X2", "X3", "X4")
    assert login.startswith("235 ") and all(r.startswith("500 ") for r in replies[:3]), replies
    assert replies[3].startswith("421 4.7.0 Too many errors"), replies
    assert ask("X5")[1].startswith("421 4.7.0 Too many errors")
    assert ask("NOOP")[1].startswith("250 ")
    assert ask()[0].startswith("421 4.7.0 Too many sessions of your login")


def test_what_a_login_sends_too_much_is_held_with_an_alert(world):
    remote = world.domain("there.test")
    world.configure(rates={"login-messages": "2/1h", "login-surplus": "hold"})
    test_login.start(world)
    for _ in range(4):
        with world.connect(2526) as c:
            c.hello()
            assert c.command(test_login.plain("alice@here.test")).startswith("235")
            c.begin("alice@here.test", "bob@there.test")
            assert c.command(HELLO.decode().rstrip() + "\r\n.").startswith("250")
    remote.wait(2)
    alert = world.log.wait("held", 2, by="rate of the login", login="alice@here.test")
    assert alert["level"] == "warning"
    [row, other] = world.wait_queue(lambda rows: len(rows) == 2)
    assert row["state"] == "held"
    assert row["reason"] == "held: rate of the login; tern queue release sends it"
    assert world.show(row["id"])["hold"] == "rate of the login"
    assert surplus(world) == "2 messages are held, since a login sends more than its rates allow"
    assert world.tern("queue", "delete", other["id"]).returncode == 0
    assert surplus(world).startswith("1 messages ")
    world.stop_relay()
    world.start_relay()
    assert surplus(world).startswith("1 messages ")
    assert world.tern("queue", "release", row["id"]).returncode == 0
    remote.wait(3)
    assert surplus(world) is None
    world.stop_relay()
    world.start_relay()
    assert surplus(world) is None


def surplus(world):
    """What "tern status" says about it, if it does."""
    [words] = [a["what"] for a in world.status()["alarms"] if a["alarm"] == "surplus"] or [None]
    return words


def test_who_talks_before_the_greeting_is_sent_away(world):
    world.start_relay(strangers={"greet-delay": "2s"})
    with RawClient(source=STRANGER) as c:
        c.send(b"HELO x\r\n")
        assert c.reply() == "421 4.7.0 You spoke before the greeting"
    world.log.wait("early_talker", client=STRANGER)
    stranger("127.0.0.10").close()  # has patience
    world.send("a@here.test", "alice@here.test", HELLO)  # needs none


def test_strangers_make_room_for_who_may_relay(world):
    world.start_relay(limits={"connections": 3}, workers={"smtpd": 1})
    idle = [stranger(f"127.0.0.{i + 10}") for i in range(3)]
    with RawClient(source="127.0.0.99") as one_more:
        assert one_more.reply() == "421 4.7.0 Too many connections here, try again later"
    world.send("a@here.test", "alice@here.test", HELLO)
    assert idle[0].reply() == "421 4.7.0 Others need this place, try again later"
    for c in idle[1:]:
        assert c.command("NOOP").startswith("250")
    for c in idle:
        c.close()


def test_a_listener_has_limits_of_its_own(world):
    world.start_relay(listen=[
        {"address": "127.0.0.1:25", "name": "mx"},
        {"address": "127.0.0.1:2526", "name": "few", "limits": {"connections": 2, "connections-per-client": 1},
         "rates": {"client-messages": "1/1h"}}])
    with RawClient(2526, source=STRANGER) as first:
        first.hello()
        with RawClient(2526, source=STRANGER) as c:
            assert c.reply() == "421 4.7.0 Too many connections from your network, close some first"
        with RawClient(2526, source="127.0.0.10") as second:
            second.hello()
            with RawClient(2526, source="127.0.0.11") as c:
                assert c.reply() == "421 4.7.0 Too many connections here, try again later"
            with RawClient(25, source=STRANGER) as c:  # at the other one there is room
                c.hello()
                for _ in range(3):
                    c.begin("a@there.test", "alice@here.test")
                    assert c.command(HELLO.decode().rstrip() + "\r\n.").startswith("250")
        first.begin("a@there.test", "alice@here.test")
        assert first.command(HELLO.decode().rstrip() + "\r\n.").startswith("250")
        assert first.command("MAIL FROM:<a@there.test>").startswith("450 4.7.1")
