"""Local mailboxes: one file for each message, and every byte of it."""
import base64
import email
import email.policy
import email.utils
import random
from email.message import EmailMessage

import pytest


def mime_with_attachment():
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = "Ann <a@here.test>", "bob@here.test", "Ein Bild, größer"
    m["Date"], m["Message-ID"] = "Mon, 23 Nov 2026 12:00:00 +0000", "<1@here.test>"
    m.set_content("Grüße,\n.\n..\nAnn\n")
    m.add_attachment(random.Random(1).randbytes(200_000), maintype="image", subtype="png",
                     filename="bild.png")
    return m.as_bytes(policy=email.policy.SMTP)


HEAD = b"From: a@here.test\r\nSubject: x\r\n"
REAL = {
    "mime": mime_with_attachment(),
    "eight bit": HEAD + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
                        "\r\nGrüße aus Köln, \u65e5\u672c\r\n".encode(),
    "all bytes": HEAD + b"\r\n" + bytes(b for b in range(256) if b not in (0, 10, 13)) + b"\r\n",
    "long header lines": HEAD + b"X-Long: " + b"a" * 990 + b"\r\nReferences: " +
                         b" ".join(b"<%d@x.test>" % i for i in range(80)) + b"\r\n\r\nx\r\n",
    "folded header": HEAD + b"X-Folded: one\r\n two\r\n\tthree\r\n\r\nx\r\n",
    "dots": HEAD + b"\r\n.\r\n..\r\n...\r\n.x\r\n" + b"." * 900 + b"\r\n.\r\n",
    "empty body": HEAD + b"\r\n",
    "no body": HEAD,
    "no header": b"\r\njust a body\r\n",
    "blank lines": HEAD + b"\r\n" + b"\r\n" * 20,
    "lines of 998": HEAD + b"\r\n" + (b"y" * 998 + b"\r\n") * 50,
    "ten megabytes": HEAD + b"\r\n" + base64.encodebytes(
        random.Random(2).randbytes(7_500_000)).replace(b"\n", b"\r\n"),
}


def submit(world, content, *recipients):
    lines = content.split(b"\r\n")
    assert lines[-1] == b""
    stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    with world.connect() as c:
        c.hello()
        c.begin("a@here.test", *recipients)
        c.send(stuffed + b".\r\n")
        assert (words := c.reply()).startswith("250"), words


def without_trace(content, end, more=()):
    """What stands below the trace fields that were put on top."""
    lines = content.split(end)
    while lines[0].startswith((b"Return-Path:", b"Delivered-To:", b"Received:", *more)):
        lines.pop(0)
        while lines[0][:1] in (b"\t", b" "):
            lines.pop(0)
    return end.join(lines)


@pytest.mark.parametrize("kind", REAL)
def test_a_message_arrives_byte_for_byte(world, kind):
    content = REAL[kind]
    there = world.domain("there.test")
    world.start_relay()
    submit(world, content, "bob@here.test", "b@there.test")
    stored = world.mailbox("bob").wait_message()
    assert b"\r" not in stored
    assert without_trace(stored, b"\n") == content.replace(b"\r\n", b"\n")
    assert without_trace(there.wait_message().content, b"\r\n") == content
    world.wait_empty_queue()
    assert len(world.mailbox("bob").files()) == 1


def test_the_trace_fields_stand_on_top(world):
    world.start_relay()
    world.send("sender@there.test", "alice@here.test")
    text = world.mailbox("alice").wait_message()
    lines = text.split(b"\n")
    assert {lines[0], lines[1]} == {b"Return-Path: <sender@there.test>",
                                    b"Delivered-To: alice@here.test"}
    assert lines[2].startswith(b"Received: from client.test")
    date = email.message_from_bytes(text)["Received"].rpartition(";")[2]
    assert email.utils.parsedate_to_datetime(date.strip()).utcoffset() is not None


def test_a_null_reverse_path_is_shown_as_such(world):
    world.start_relay()
    world.send("", "alice@here.test")
    assert world.mailbox("alice").wait_message().startswith(b"Return-Path: <>\n")


def test_each_recipient_has_a_copy_of_its_own(world):
    world.start_relay()
    world.send("a@there.test", ["alice@here.test", "bob@here.test"])
    assert b"Delivered-To: alice@here.test\n" in world.mailbox("alice").wait_message()
    assert b"Delivered-To: bob@here.test\n" in world.mailbox("bob").wait_message()
    world.wait_empty_queue()
    assert len(world.mailbox("alice").files()) == len(world.mailbox("bob").files()) == 1


def test_a_mailbox_is_a_maildir(world):
    world.start_relay()
    world.send("a@there.test", "alice@here.test")
    box = world.mailbox("alice")
    box.wait_message()
    assert sorted(p.name for p in box.path.iterdir()) == ["cur", "new", "tmp"]
    assert all(p.stat().st_mode & 0o077 == 0 for p in [box.path, *box.path.iterdir()])
    file = box.files()[0]
    assert f",S={file.stat().st_size}" in file.name and "/" not in file.name
    assert ":" not in file.name and list((box.path / "tmp").iterdir()) == []
    assert file.stat().st_mode & 0o077 == 0


def test_mail_to_postmaster_has_a_mailbox(world):
    world.start_relay()
    for recipient in ("postmaster", "Postmaster@here.test"):
        world.send("a@there.test", recipient)
    world.mailbox("postmaster").wait(2)


def test_folders_of_a_directory_domain_are_mailboxes(world):
    world.maildirs.mkdir()
    (world.maildirs / "dir.test").mkdir()
    (world.maildirs / "dir.test" / "carol").mkdir()
    world.give_away(world.maildirs)
    world.start_relay(domains={"dir.test": {"deliver": "maildir", "mailboxes": "directory"}})
    world.send("a@there.test", "carol@dir.test")
    world.mailbox("dir.test/carol").wait_message()
    with world.connect() as c:
        c.hello()
        c.command("MAIL FROM:<>")
        for bad in ("dave@dir.test", "..@dir.test", "../alice@dir.test", '"carol/../carol"@dir.test',
                    ".@dir.test"):
            assert c.command(f"RCPT TO:<{bad}>").startswith("5"), bad


def test_a_pattern_is_a_mailbox_for_many(world):
    world.start_relay(mailboxes={r"/sales-.*@here\.test/": "sales"})
    world.send("a@there.test", "sales-north@here.test")
    assert b"Delivered-To: sales-north@here.test\n" in world.mailbox("sales").wait_message()


def test_mail_that_was_delivered_to_the_mailbox_before_is_a_loop(world):
    world.start_relay()
    world.send("bob@here.test", "alice@here.test",
               b"Delivered-To: alice@here.test\r\nSubject: again\r\n\r\nx\r\n")
    assert b"Status: 5.4.6" in world.mailbox("bob").wait_message()
    assert world.mailbox("alice").files() == []


def test_a_mailbox_that_is_a_link_is_not_followed(world):
    world.maildirs.mkdir()
    (world.folder / "elsewhere").mkdir()
    (world.maildirs / "alice").symlink_to(world.folder / "elsewhere")
    world.give_away(world.maildirs)
    world.give_away(world.folder / "elsewhere")
    world.start_relay()
    world.send("a@there.test", "alice@here.test")
    world.log.wait("deferred", recipient="alice@here.test")
    assert list((world.folder / "elsewhere").iterdir()) == []
