"""Postfix as a remote server: Tern relays to it, and it relays to Tern."""
import os
import pwd
import re
import shutil
import smtplib
import subprocess
from pathlib import Path

import pytest

import namespace
from test_maildir import REAL, without_trace
from world import Mailbox, wait_for

ADDRESS = namespace.REMOTE + "200"
POSTFIX = shutil.which("postfix", path="/usr/sbin:/sbin:/usr/bin:/bin")

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mx.there.test
mydestination =
mynetworks = 127.0.0.0/8, {address}
inet_interfaces = loopback-only
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_host_lookup = native
relayhost = [{tern}]:25
virtual_mailbox_domains = there.test
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {{ b@there.test = b/ }}, {{ c@there.test = c/ }} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtp_tls_security_level = may
smtputf8_enable = no
message_size_limit = 50000000
virtual_mailbox_limit = 0
minimal_backoff_time = 1s
queue_run_delay = 1s
smtpd_peername_lookup = no
"""
MASTER = """
{address}:25 inet  n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 1 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


@pytest.fixture
def postfix(world):
    if POSTFIX is None:
        pytest.skip("needs Postfix (Debian package postfix)")
    if not namespace.is_root():
        pytest.skip("needs root: Postfix changes users")
    folder = world.folder / "postfix"
    for name in ("", "etc", "queue", "data", "mail"):
        (folder / name).mkdir()
    nobody, owner = pwd.getpwnam("nobody"), pwd.getpwnam("postfix")
    world.give_away(folder / "mail")
    os.chown(folder / "data", owner.pw_uid, owner.pw_gid)
    certificate, key = world.certificates
    values = {"folder": folder, "address": ADDRESS, "tern": namespace.OWN, "uid": nobody.pw_uid, "gid": nobody.pw_gid,
              "certificate": certificate, "key": key}
    (folder / "etc" / "main.cf").write_text(MAIN.format(**values))
    (folder / "etc" / "master.cf").write_text(MASTER.format(**values))

    def control(verb):
        return subprocess.run([POSTFIX, "-c", str(folder / "etc"), verb], capture_output=True,
                              text=True, timeout=120)
    done = control("start")
    assert done.returncode == 0, done.stdout + done.stderr

    def greets():
        try:
            with smtplib.SMTP(ADDRESS, 25, timeout=10):
                return True
        except OSError:
            return False
    wait_for(greets, lambda: "Postfix: " + done.stderr + read_log(folder))
    world.dns.mx("there.test", (10, "mx.there.test"))
    world.dns.a("mx.there.test", ADDRESS)
    yield folder
    control("stop")


def read_log(folder):
    path = Path(folder, "log")
    return path.read_text(errors="replace") if path.exists() else ""


def submit(host, recipients, content, sender="a@here.test"):
    with smtplib.SMTP(host, 25, "client.test", timeout=60) as client:
        client.sendmail(sender, recipients, content)


def wait_mail(folder, box, count=1):
    return Mailbox(folder / "mail" / box).wait(count)


def test_tern_relays_to_postfix_over_tls(world, postfix):
    world.start_relay()
    message = world.send("a@here.test", ["b@there.test", "c@there.test"])
    stored = wait_mail(postfix, "b")[0]
    wait_mail(postfix, "c")
    assert b"TLSv1.3" in stored and b"by mx.there.test (Postfix)" in stored
    line = world.log.wait("delivered", message=message, recipient="b@there.test")
    assert "TLSv1.3" in line["tls"] and "queued as" in line["reply"]
    world.wait_empty_queue()


# Postfix changes the others, which have no header or no text.
@pytest.mark.parametrize("kind", sorted(set(REAL) - {"no header", "no body", "all bytes"}))
def test_real_messages_reach_postfix_unchanged(world, postfix, kind):
    world.start_relay(timeouts={"idle-connection": "1s"})
    submit("127.0.0.1", ["b@there.test"], REAL[kind])
    stored = wait_mail(postfix, "b")[0]
    assert without_trace(stored, b"\n", more=(b"X-Original-To:",)) == \
        REAL[kind].replace(b"\r\n", b"\n")
    wait_for(lambda: " bdat=1 " in read_log(postfix), lambda: "BDAT to be used\n" + read_log(postfix))


def test_a_recipient_that_postfix_does_not_know_bounces(world, postfix):
    world.start_relay()
    world.send("alice@here.test", ["b@there.test", "nobody@there.test"])
    wait_mail(postfix, "b")
    bounce = world.mailbox("alice").wait_message()
    assert b"Final-Recipient: rfc822; nobody@there.test" in bounce
    assert b"Final-Recipient: rfc822; b@there.test" not in bounce
    assert b"Status: 5.1.1" in bounce


def test_postfix_relays_to_tern_over_tls(world, postfix):
    world.start_relay()
    submit(ADDRESS, ["alice@here.test"], b"Subject: from postfix\r\n\r\nhello\r\n", "b@there.test")
    stored = world.mailbox("alice").wait_message()
    assert b"Subject: from postfix" in stored
    assert re.search(rb"Received: from mx\.there\.test .*\n\t?.*with ESMTPS", stored)
    assert "status=sent" in wait_for(lambda: "status=sent" in read_log(postfix)
                                     and read_log(postfix), "Postfix to say that it was sent")


@pytest.mark.parametrize("kind", ["mime", "eight bit", "dots", "ten megabytes"])
def test_real_messages_come_from_postfix_unchanged(world, postfix, kind):
    world.start_relay()
    submit(ADDRESS, ["alice@here.test"], REAL[kind], "b@there.test")
    stored = world.mailbox("alice").wait_message()
    assert stored.endswith(REAL[kind].partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n"))


def test_a_bounce_from_tern_is_delivered_by_postfix(world, postfix):
    world.dns.null_mx("nomail.test")
    world.start_relay()
    world.send("b@there.test", "x@nomail.test")
    stored = wait_mail(postfix, "b")[0]
    assert stored.startswith(b"Return-Path: <>") and b"Status: 5.1.10" in stored


def test_postfix_keeps_mail_until_tern_is_there(world, postfix):
    submit(ADDRESS, ["alice@here.test"], b"Subject: early\r\n\r\nhello\r\n", "b@there.test")
    wait_for(lambda: "status=deferred" in read_log(postfix), "Postfix to defer")
    world.start_relay()
    subprocess.run([POSTFIX, "-c", str(postfix / "etc"), "flush"], check=True, capture_output=True)
    assert b"Subject: early" in world.mailbox("alice").wait_message()


def test_many_messages_pass_through_both(world, postfix):
    world.start_relay()
    count = 100
    with smtplib.SMTP("127.0.0.1", 25) as client:
        for i in range(count):
            client.sendmail("a@here.test", ["b@there.test"], b"Subject: n%d\r\n\r\nx\r\n" % i)
    subjects = {re.search(rb"Subject: n(\d+)", m)[1] for m in wait_mail(postfix, "b", count)}
    assert len(subjects) == count
    world.wait_empty_queue()
