"""Exim and OpenSMTPD as remote servers: Tern relays to them, and they relay to Tern."""
import re
import smtplib

import pytest

import namespace
from peers import Overlay
from test_maildir import REAL, without_trace
from world import Mailbox, wait_for

ADDRESS = namespace.REMOTE + "201"

EXIM = """
primary_hostname = mx.there.test
local_interfaces = {address}
daemon_smtp_ports = 25
log_file_path = /var/log/exim4/%slog
host_lookup =
tls_advertise_hosts = *
tls_certificate = /etc/peer.crt
tls_privatekey = /etc/peer.key
acl_smtp_rcpt = check_rcpt
never_users =
message_size_limit = 50M
keep_environment =
begin acl
check_rcpt:
  accept domains = there.test
         message = no such user here
         local_parts = b : c
  accept domains = here.test
  deny message = no such user here
begin routers
boxes:
  driver = accept
  domains = there.test
  local_parts = b : c
  transport = maildir
elsewhere:
  driver = manualroute
  domains = here.test
  route_list = * {tern}
  transport = remote
begin transports
maildir:
  driver = appendfile
  directory = /mail/$local_part_data
  maildir_format
  user = Debian-exim
remote:
  driver = smtp
  tls_verify_certificates =
begin retry
* * F,1h,1s
"""

OPENSMTPD = """
pki peer cert "/etc/peer.crt"
pki peer key "/etc/peer.key"
smtp max-message-size 50M
table boxes {{ "b@there.test" = "boxes", "c@there.test" = "boxes" }}
listen on {address} port 25 tls pki peer hostname mx.there.test
action "boxes" maildir "/mail/%{{rcpt.user}}" virtual <boxes>
action "elsewhere" relay host smtp://{tern}:25
match from any for domain "there.test" action "boxes"
match from any for domain "here.test" action "elsewhere"
"""


def put_certificate(overlay, world, owner):
    certificate, key = world.certificates
    overlay.write("/etc/peer.crt", certificate.read_text())
    overlay.write("/etc/peer.key", key.read_text(), owner, 0o600)


def start_exim(world):
    o = Overlay(world, "exim4-daemon-light", ["Debian-exim"])
    owner = (950, 950)
    for path in ("/var/spool/exim4", "/var/log/exim4", "/mail"):
        o.folder(path, owner)
    put_certificate(o, world, owner)
    o.write("/etc/exim4/exim4.conf", EXIM.format(address=ADDRESS, tern=namespace.OWN))
    o.start(world, "/usr/sbin/exim4", "-bdf", "-q1s")
    return o


def start_opensmtpd(world):
    o = Overlay(world, "opensmtpd", ["opensmtpd", "opensmtpq", "boxes"])
    boxes = (952, 952)
    o.folder("/mail", boxes)
    o.folder("/var/lib/opensmtpd/empty")
    put_certificate(o, world, None)
    o.write("/etc/mailname", "mx.there.test\n")
    o.write("/etc/resolv.conf", "lookup file\n")
    o.write("/etc/smtpd.conf", OPENSMTPD.format(address=ADDRESS, tern=namespace.OWN))
    o.start(world, "/usr/sbin/smtpd", "-d")
    return o


@pytest.fixture(params=["exim", "opensmtpd"])
def peer(request, world):
    overlay = {"exim": start_exim, "opensmtpd": start_opensmtpd}[request.param](world)
    overlay.name = request.param

    def greets():
        try:
            with smtplib.SMTP(ADDRESS, 25, timeout=10):
                return True
        except OSError:
            return False
    try:
        wait_for(greets, overlay.output)
        world.dns.mx("there.test", (10, "mx.there.test"))
        world.dns.a("mx.there.test", ADDRESS)
        yield overlay
    finally:
        overlay.close()


def box(peer, name):
    return Mailbox(peer.root / "mail" / name)


def test_tern_relays_as_safely_as_the_peer_can(world, peer):
    """This OpenSMTPD offers STARTTLS, but its handshake fails with the OpenSSL of Debian 12."""
    world.start_relay()
    message = world.send("a@here.test", ["b@there.test", "c@there.test"])
    stored = box(peer, "b").wait_message()
    box(peer, "c").wait_message()
    tls = world.log.wait("delivered", message=message, recipient="b@there.test").get("tls")
    if world.log.has("tls_failed"):
        assert peer.name == "opensmtpd" and tls.startswith("plain text (STARTTLS failed before)")
    else:
        assert "TLSv1.3" in tls and re.search(rb"TLS ?1\.3|TLSv1\.3", stored)
    world.wait_empty_queue()


@pytest.mark.parametrize("kind", ["mime", "dots", "lines of 998", "ten megabytes"])
def test_real_messages_arrive_unchanged(world, peer, kind):
    world.start_relay()
    with smtplib.SMTP("127.0.0.1", 25, "client.test", timeout=60) as client:
        client.sendmail("a@here.test", ["b@there.test"], REAL[kind])
    stored = without_trace(box(peer, "b").wait_message(), b"\n", more=(b"Envelope-to:", b"Delivery-date:"))
    assert stored == REAL[kind].replace(b"\r\n", b"\n")
    if peer.name == "exim":  # "K": CHUNKING was used
        log = peer.root / "var/log/exim4/mainlog"
        assert re.search(r"<= a@here\.test .* K ", log.read_text())


def test_a_recipient_that_is_not_known_bounces(world, peer):
    world.start_relay()
    world.send("alice@here.test", ["b@there.test", "nobody@there.test"])
    box(peer, "b").wait_message()
    bounce = world.mailbox("alice").wait_message()
    assert b"Final-Recipient: rfc822; nobody@there.test" in bounce
    assert b"Final-Recipient: rfc822; b@there.test" not in bounce and b"Status: 5." in bounce


def test_it_relays_to_tern(world, peer):
    world.start_relay()
    with smtplib.SMTP(ADDRESS, 25, "client.test", timeout=60) as client:
        client.sendmail("b@there.test", ["alice@here.test"], b"Subject: from a peer\r\n\r\nhello\r\n")
    stored = world.mailbox("alice").wait_message()
    assert b"Subject: from a peer" in stored and re.search(rb"with ESMTPS?\b", stored)


def test_many_messages_pass(world, peer):
    world.start_relay()
    count = 50
    with smtplib.SMTP("127.0.0.1", 25) as client:
        for i in range(count):
            client.sendmail("a@here.test", ["b@there.test"], b"Subject: n%d\r\n\r\nx\r\n" % i)
    subjects = {re.search(rb"Subject: n(\d+)", m)[1] for m in box(peer, "b").wait(count)}
    assert len(subjects) == count
    world.wait_empty_queue()
