"""Rules: what a real client meets, and lists that change while Tern runs."""
import os
import subprocess

import pytest

from world import wait_for

RULES = [
    {"name": "blocked", "client": "127.0.0.66", "then": "refuse"},
    {"name": "spam", "sender": "@spam.test", "then": "refuse 550 5.7.1 Not from there"},
    {"name": "later", "sender": "@later.test", "then": "defer"},
    {"name": "gone", "sender": "@gone.test", "then": "discard"},
    {"name": "wait", "sender": "@wait.test", "then": "hold to be looked at"},
    {"name": "edit", "sender": "@edit.test",
     "then": ["tag edited", "add-header X-Added: yes", "remove-header Subject"]},
    {"name": "subject", "header": {"Subject": "/.*prize.*/"}, "then": "refuse 554 5.7.1 No prizes"},
]


def swaks(sender, *more):
    return subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", "2525", "--from", sender, "--to",
         "alice@here.test", *more], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("sender, reply, rule", [
    ("a@spam.test", "550 5.7.1 Not from there (rule spam)", "spam"),
    ("a@later.test", "450 4.7.1 This server's rules do not allow it now, try again later (rule later)",
     "later")])
def test_a_rule_refuses_and_defers(world, sender, reply, rule):
    world.start_relay(rules=RULES)
    done = swaks(sender)
    assert reply in done.stdout and done.returncode != 0
    assert world.log.wait("message_refused", rule=rule)["sender"] == sender


def test_a_rule_refuses_a_client_at_once(world):
    world.start_relay(rules=RULES)
    with world.connect(source="127.0.0.66") as c:
        assert c.reply().startswith("554 5.7.1")
        assert c.reply() == ""
    with world.connect(source="127.0.0.67") as c:
        assert c.reply().startswith("220")


def test_a_rule_looks_at_the_header(world):
    world.start_relay(rules=RULES)
    done = swaks("a@there.test", "--header", "Subject: You won a prize")
    assert "554 5.7.1 No prizes (rule subject)" in done.stdout
    assert swaks("a@there.test", "--header", "Subject: no price").returncode == 0
    assert b"no price" in world.mailbox("alice").wait_message()


def test_a_rule_changes_the_header_and_tags(world):
    world.start_relay(rules=RULES)
    assert swaks("a@edit.test", "--header", "Subject: secret").returncode == 0
    message = world.mailbox("alice").wait_message()
    assert b"X-Added: yes" in message and b"secret" not in message
    accepted = world.log.wait("message_accepted")
    assert world.log.wait("rules_applied", rules="edit")["message"] == accepted["message"]


def test_a_large_message_is_changed_too(world):
    world.start_relay(rules=RULES)
    with world.connect() as c:
        c.hello()
        c.begin("a@edit.test", "alice@here.test")
        c.send(b"Subject: secret\r\n\r\n" + 20000 * (70 * b"x" + b"\r\n") + b".\r\n")
        assert c.reply().startswith("250")
    message = world.mailbox("alice").wait_message()
    assert b"X-Added: yes" in message and b"secret" not in message
    assert message.count(70 * b"x") == 20000


def test_a_discarded_message_is_nowhere(world):
    world.start_relay(rules=RULES)
    assert swaks("a@gone.test").returncode == 0
    world.log.wait("message_discarded", rule="gone", sender="a@gone.test")
    assert not world.log.has("message_accepted")


def test_what_is_discarded_for_one_recipient_is_told(world):
    world.start_relay(rules=[
        {"name": "not-bob", "recipient": "bob@here.test", "then": "discard"},
        {"name": "no-bulk", "recipient": "postmaster@here.test", "header": {"X-Bulk": "*"}, "then": "discard"}])
    with world.connect(2525) as c:
        c.hello()
        c.begin("a@there.test", "alice@here.test", "bob@here.test", "postmaster@here.test")
        assert c.command("X-Bulk: 1\r\n\r\nhello\r\n.").startswith("250")
    world.mailbox("alice").wait_message()
    told = {e["recipient"]: e["rule"] for e in world.log.find("message_discarded")}
    assert told == {"bob@here.test": "not-bob", "postmaster@here.test": "no-bulk"}
    assert world.log.wait("message_accepted")["recipients"] == "1"


def test_a_held_message_waits_with_its_reason(world):
    world.start_relay(rules=RULES)
    assert swaks("a@wait.test").returncode == 0
    row = wait_for(lambda: world.queue("--state", "held"), "a held message")[0]
    assert "to be looked at" in row["reason"]
    world.tern("queue", "release", row["id"])
    world.mailbox("alice").wait_message()


def write(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    os.chmod(new, 0o600)
    new.rename(path)


def test_a_list_is_read_again_when_it_changes(world):
    path = world.folder / "list"
    write(path, "# nobody yet\n")
    world.start_relay(rules=[{"name": "listed", "sender": f"file:{path}", "then": "refuse"}])

    def reply():
        with world.connect() as c:
            c.hello()
            return c.command("MAIL FROM:<a@spam.test>")
    assert reply().startswith("250")
    write(path, "b@spam.test\n@spam.test\n")
    world.log.wait("list_changed", path=str(path))
    wait_for(lambda: all(reply().startswith("550 5.7.1") for _ in range(8)), "the new list")
    path.unlink()
    world.log.wait("list_unreadable", path=str(path))
    assert reply().startswith("550")
    write(path, "")
    wait_for(lambda: all(reply().startswith("250") for _ in range(8)), "the empty list")


def test_a_process_that_starts_again_has_the_list(world):
    path = world.folder / "list"
    write(path, "@spam.test\n")
    world.start_relay(rules=[{"sender": f"file:{path}", "then": "refuse"}], workers={"smtpd": 1})
    world.deaths_are_expected = True
    [smtpd] = world.pids_of("smtpd")
    os.kill(smtpd, 9)
    wait_for(lambda: world.pids_of("smtpd") not in ([], [smtpd]), "another smtpd")

    def reply():
        with world.connect() as c:
            c.hello()
            return c.command("MAIL FROM:<a@spam.test>")
    assert reply().startswith("550 5.7.1")


def test_a_rule_limits(world):
    """Across processes: each swaks may meet another one. And a message that waits says why."""
    limits = [{"name": "few", "sender": "@few.test", "then": "limit 2/1d by sender"},
              {"name": "late", "header": {"X-Bulk": "*"}, "then": "limit 1/1d by client or hold"}]
    world.start_relay(rules=limits)
    assert [swaks("a@few.test").returncode for _ in range(2)] == [0, 0]
    done = swaks("a@few.test")
    assert "450 4.7.1 Too much mail, try again later (rule few)" in done.stdout
    assert world.log.wait("message_refused", rule="few")["sender"] == "a@few.test"
    world.reload()
    assert swaks("a@few.test").returncode != 0 and swaks("b@few.test").returncode == 0
    for _ in range(2):
        assert swaks("a@there.test", "--header", "X-Bulk: 1").returncode == 0
    [row] = world.queue()
    assert world.show(row["id"])["hold"] == "beyond the limit of rule late"
    done = world.tern("explain", "--from", "a@few.test", "--to", "alice@here.test", "--client",
                      "127.0.0.1")
    assert "few, at stage rcpt: limit 2/1d by sender" in done.stdout
