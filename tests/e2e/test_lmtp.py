"""Mail that goes to mailboxes of a real Dovecot over LMTP."""
import socket
import threading

import pytest

from dovecot import dovecot  # noqa: F401

DOMAIN = "box.test"
BOB = "bob@" + DOMAIN


# Where nobody checks who connects, an address that only Tern reaches is what is meant.
OVER_TCP = "service lmtp {{\n inet_listener lmtp {{\n  address = {}\n  port = 24\n }}\n}}\n"


@pytest.fixture(params=["socket", "tcp"])
def host(request, world, dovecot):
    """What Tern calls Dovecot: a path, or a name."""
    return str(dovecot.lmtp) if request.param == "socket" else "lmtp.test"


@pytest.fixture
def boxes(world, dovecot, host):
    """Starts Tern and Dovecot, with bob's mailbox and some lines of Dovecot's configuration more."""
    def start(more=""):
        if not host.startswith("/"):
            more += OVER_TCP.format(world.host(host))
        dovecot.write_config(more)
        dovecot.add_user(BOB)
        dovecot.start()
        world.start_relay(routes=[{"domain": DOMAIN, "via": f"lmtp://{host}"}])
        return world.mailbox(f"{DOMAIN}/bob")
    return start


def test_each_recipient_has_a_reply_of_its_own(world, boxes):
    bob = boxes()
    world.send("alice@here.test", [BOB, "nobody@" + DOMAIN])
    assert b"Delivered-To: bob@box.test" in bob.wait_message()
    notice = world.mailbox("alice").wait_message()
    assert b"550 5.1.1" in notice and b"nobody@box.test" in notice and BOB.encode() not in notice
    world.wait_empty_queue()


def test_detail_chooses_a_folder_that_is_there(world, boxes):
    folder = world.maildirs / DOMAIN / "bob" / ".lists"
    for name in ("tmp", "new", "cur"):
        (folder / name).mkdir(parents=True)
    bob = boxes()
    world.send("alice@here.test", "bob+lists@" + DOMAIN)
    world.mailbox(f"{DOMAIN}/bob/.lists").wait_message()
    world.send("alice@here.test", "bob+unknown@" + DOMAIN)
    bob.wait_message()


def test_a_full_mailbox_comes_back(world, boxes):
    bob = boxes("plugin {\n quota_rule = *:messages=1\n}\n")
    world.send("alice@here.test", BOB)
    bob.wait_message()
    world.send("alice@here.test", BOB)
    assert b"552 5.2.2" in world.mailbox("alice").wait_message()
    assert len(bob.files()) == 1


def test_one_full_mailbox_of_two(world, boxes, dovecot):
    bob = boxes("plugin {\n quota_rule = *:messages=1\n}\n")
    dovecot.add_user("carl@" + DOMAIN)
    world.send("alice@here.test", BOB)
    bob.wait_message()
    world.send("alice@here.test", [BOB, "carl@" + DOMAIN])
    world.mailbox(f"{DOMAIN}/carl").wait_message()
    notice = world.mailbox("alice").wait_message()
    assert b"552 5.2.2" in notice and BOB.encode() in notice and b"carl@" not in notice
    world.wait_empty_queue()
    assert len(bob.files()) == 1


def test_a_full_mailbox_may_be_a_matter_of_time(world, boxes):
    bob = boxes("quota_full_tempfail = yes\nplugin {\n quota_rule = *:messages=1\n}\n")
    world.send("alice@here.test", BOB)
    bob.wait_message()
    world.send("alice@here.test", BOB)
    row = world.wait_deferred()
    assert row["rcpts"][0]["last"]["enhanced"] == "4.2.2"


def test_mail_waits_while_dovecot_is_away(world, boxes, dovecot, host):
    bob = boxes()
    dovecot.stop()
    world.send("alice@here.test", BOB)
    row = world.wait_deferred()
    assert host in row["reason"]
    dovecot.start()
    world.tern("queue", "retry", "--all")
    bob.wait_message()


def test_eight_bit_headers_need_no_smtputf8(world, boxes):
    bob = boxes()
    world.send("alice@here.test", BOB, "Subject: Grüße\r\n\r\nhello\r\n".encode())
    assert "Subject: Grüße".encode() in bob.wait_message()


def test_many_messages_share_connections(world, boxes):
    bob = boxes()
    for _ in range(30):
        world.send("alice@here.test", BOB)
    bob.wait(30)
    world.wait_empty_queue()
    assert len(bob.files()) == 30


def test_who_was_not_answered_for_is_tried_again(world):
    """A server over TCP that closes after the first of two replies."""
    heard = []

    def serve(listener):
        for answers in (["250 2.0.0 saved"], ["250 2.0.0 saved"]):
            c, _ = listener.accept()
            with c, c.makefile("rwb") as f:
                recipients = talk(f, answers)
            heard.append(recipients)

    def talk(f, answers):
        recipients = []

        def say(line):
            f.write(line.encode() + b"\r\n")
            f.flush()
        say("220 lmtp")
        while line := f.readline():
            verb = line[:4].upper()
            if verb == b"RCPT":
                recipients.append(line.split(b"<")[1].split(b">")[0].decode())
            if verb == b"DATA":
                say("354 go")
                while f.readline() != b".\r\n":
                    pass
                for answer in answers:
                    say(answer)
                return recipients
            say("250 fine")
        return recipients

    listener = socket.create_server((world.host("lmtp.test"), 24))
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    world.start_relay(routes=[{"domain": DOMAIN, "via": "lmtp://lmtp.test"}])
    world.send("alice@here.test", [BOB, "carl@" + DOMAIN])
    row = world.wait_deferred()
    assert [r["addr"] for r in row["rcpts"] if r["state"] != "done"] == ["carl@" + DOMAIN]
    world.tern("queue", "retry", "--all")
    world.wait_empty_queue()
    assert heard == [[BOB, "carl@" + DOMAIN], ["carl@" + DOMAIN]]
    listener.close()
