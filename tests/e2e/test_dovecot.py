"""People read with POP3 and IMAP, from Dovecot with the configuration that is shipped, what Tern has
delivered."""
import imaplib
import poplib
import re
import socket
import ssl
import subprocess

import pytest

import namespace
from dovecot import PASSWORD, dovecot  # noqa: F401
from test_maildir import REAL, without_trace
from world import wait_for

DOMAIN = "read.test"
BOB = "bob@" + DOMAIN


@pytest.fixture
def bob(world, dovecot):
    """Tern and Dovecot, with a mailbox of bob's."""
    dovecot.add_user(BOB)
    dovecot.start()
    world.start_relay(domains={DOMAIN: {"deliver": "maildir", "mailboxes": "directory"}})
    return world.mailbox(f"{DOMAIN}/bob")


def no_verification():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def imap():
    client = imaplib.IMAP4_SSL("127.0.0.1", 993, ssl_context=no_verification(), timeout=60)
    client.login(BOB, PASSWORD)
    client.select("INBOX")
    return client


def uids(client):
    return [int(u) for u in client.uid("SEARCH", "ALL")[1][0].split()]


def wait_for_uids(client, count):
    def look():
        client.noop()
        return len(uids(client)) >= count
    wait_for(look, f"{count} messages over IMAP")
    return uids(client)


def submit(recipient, content=b"Subject: hello\r\n\r\nhello\r\n"):
    done = subprocess.run(["swaks", "--server", "127.0.0.1:2525", "--from", "ann@here.test", "--to", recipient,
                           "--data", "-", "--silent", "2", "--suppress-data"],
                          input=content, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imap_shows_one_copy_and_keeps_flags_and_uids(world, bob):
    submit(BOB)
    client = imap()
    first = wait_for_uids(client, 1)
    client.uid("STORE", str(first[0]), "+FLAGS", r"(\Seen \Flagged $Label1)")
    validity = client.response("UIDVALIDITY")
    for _ in range(20):
        submit(BOB)
    later = wait_for_uids(client, 21)
    assert later[0] == first[0] and later == sorted(set(later)) and len(later) == 21
    again = imap()
    assert uids(again) == later and again.response("UIDVALIDITY") == validity
    flags = again.uid("FETCH", str(first[0]), "(FLAGS)")[1][0]
    assert {b"\\Seen", b"\\Flagged", b"$Label1"} <= set(re.search(rb"FLAGS \(([^)]*)", flags)[1].split())


@pytest.mark.parametrize("kind", ["mime", "eight bit", "dots", "lines of 998", "ten megabytes"])
def test_real_messages_are_read_as_they_were_sent(world, bob, kind):
    world.send("ann@here.test", BOB, REAL[kind].removesuffix(b"\r\n") + b"\r\n")
    client = imap()
    uid = wait_for_uids(client, 1)[0]
    rfc822 = client.uid("FETCH", str(uid), "(BODY.PEEK[] RFC822.SIZE)")[1][0]
    assert without_trace(rfc822[1], b"\r\n") == REAL[kind]
    assert int(re.search(rb"RFC822.SIZE (\d+)", rfc822[0])[1]) == len(rfc822[1])


def test_pop3_fetches_each_message_once(world, bob):
    for n in range(3):
        submit(BOB, b"Subject: n%d\r\n\r\nhello\r\n" % n)
    bob.wait(3)

    def session():
        client = poplib.POP3_SSL("127.0.0.1", 995, timeout=60, context=no_verification())
        client.user(BOB)
        client.pass_(PASSWORD)
        return client
    client = session()
    names = client.uidl()[1]
    assert len(names) == 3
    subjects = {line for n in (1, 2, 3) for line in client.retr(n)[1] if line.startswith(b"Subject:")}
    assert subjects == {b"Subject: n0", b"Subject: n1", b"Subject: n2"}
    client.dele(1)
    client.quit()
    client = session()
    assert [n.split()[1] for n in client.uidl()[1]] == [n.split()[1] for n in names[1:]]
    client.quit()


@pytest.mark.parametrize("url", ["imaps://127.0.0.1/INBOX;UID=1", "pop3s://127.0.0.1/1"])
def test_curl_reads_what_swaks_sent(world, bob, url):
    submit(BOB, b"Subject: for curl\r\n\r\nhello\r\n")
    bob.wait_message()
    done = subprocess.run(["curl", "-sSk", "--user", f"{BOB}:{PASSWORD}", url], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"Subject: for curl" in done.stdout and done.stdout.count(b"Delivered-To: " + BOB.encode()) == 1


@pytest.mark.parametrize("port, login, no", [
    (143, f"a LOGIN {BOB} {PASSWORD}", b"a NO [PRIVACYREQUIRED]"), (110, f"USER {BOB}", b"-ERR")])
def test_no_password_travels_in_plain_text(bob, port, login, no):
    # Dovecot trusts a client that has the address it connects to.
    with socket.create_connection(("127.0.0.1", port), 60, source_address=(namespace.OWN, 0)) as s:
        with s.makefile("rwb") as f:
            f.readline()
            f.write(login.encode() + b"\r\n")
            f.flush()
            while (line := f.readline()).startswith(b"*"):
                pass
    assert line.startswith(no)


def test_a_client_that_waits_hears_of_new_mail(world, bob):
    client = imap()
    client.send(b"i1 IDLE\r\n")
    assert client.readline().startswith(b"+")
    submit(BOB)
    assert b"EXISTS" in client.readline()


def test_mail_is_kept_while_dovecot_is_away(world, bob, dovecot):
    dovecot.stop()
    submit(BOB)
    bob.wait_message()
    dovecot.start()
    assert len(wait_for_uids(imap(), 1)) == 1


def imap_later():
    client = imaplib.IMAP4("127.0.0.1", 143, timeout=60)
    client.starttls(ssl_context=no_verification())
    client.login(BOB, PASSWORD)
    client.select("INBOX")
    return client.uid("FETCH", "1", "(BODY.PEEK[])")[1][0][1]


def pop3_later():
    client = poplib.POP3("127.0.0.1", 110, timeout=60)
    client.stls(context=no_verification())
    client.user(BOB)
    client.pass_(PASSWORD)
    return b"\r\n".join(client.retr(1)[1])


@pytest.mark.parametrize("read", [imap_later, pop3_later], ids=["143", "110"])
def test_mail_is_read_over_the_ports_where_tls_begins_later(world, bob, read):
    submit(BOB, b"Subject: later\r\n\r\nhello\r\n")
    bob.wait_message()
    assert b"Subject: later" in read()


def test_mail_with_a_detail_is_read_once_by_whom_it_is_for(world, bob):
    submit(f"bob+lists@{DOMAIN}", b"Subject: detail\r\n\r\nhello\r\n")
    client = imap()
    [uid] = wait_for_uids(client, 1)
    content = client.uid("FETCH", str(uid), "(BODY.PEEK[])")[1][0][1]
    assert b"Delivered-To: bob+lists@read.test" in content and b"Subject: detail" in content
