"""Smarthosts that want a login, over TLS with a certificate that is verified."""
import base64
import hashlib
import hmac
import os
import re
import ssl

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from world import make_certificate

NAME = "smart.test"


class Smarthost:
    """aiosmtpd with a password and a token, at port 465."""

    def __init__(self, world):
        self.password, self.token = b"sesame", b"token-1"
        self.messages, self.logins = [], []
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.certificate, key = make_certificate(world.folder, NAME)
        context.load_cert_chain(self.certificate, key)
        self.controller = Controller(
            self, hostname=world.host(NAME), port=465, ssl_context=context, auth_required=True,
            auth_require_tls=False, authenticator=self.check)

    def check(self, server, session, envelope, mechanism, data):
        self.logins.append((mechanism, data.login, data.password))
        return AuthResult(success=(data.login, data.password) == (b"me", self.password), handled=False)

    async def auth_XOAUTH2(self, server, args):
        data = base64.b64decode(args[1])
        self.logins.append(("XOAUTH2", data))
        if b"auth=Bearer " + self.token + b"\1\1" in data:
            return AuthResult(success=True, handled=False)
        await server.challenge_auth(b'{"status":"401"}')
        return AuthResult(success=False, handled=False)

    async def handle_DATA(self, server, session, envelope):
        self.messages.append(envelope)
        return "250 2.0.0 taken"


class ModernSmarthost(Smarthost):
    """The same with SCRAM-SHA-256 (RFC 7677), which proves the host too, and OAUTHBEARER (RFC 7628)."""

    honest = True  # knows the password that it checks

    async def auth_SCRAM__SHA__256(self, server, args):
        header, bare = re.fullmatch(rb"([ny],,)(.*)", base64.b64decode(args[1])).groups()
        user, nonce = re.fullmatch(rb"n=([^,]*),r=([^,]*)", bare).groups()
        first = b"r=" + nonce + b"more,s=" + base64.b64encode(b"salt") + b",i=4096"
        last, _, proof = (await server.challenge_auth(first)).rpartition(b",p=")
        assert last == b"c=" + base64.b64encode(header) + b",r=" + nonce + b"more"
        exchange = b",".join((bare, first, last))
        salted = hashlib.pbkdf2_hmac("sha256", self.password, b"salt", 4096)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        mask = hmac.digest(hashlib.sha256(client_key).digest(), exchange, "sha256")
        right = base64.b64decode(proof) == bytes(a ^ b for a, b in zip(client_key, mask))
        self.logins.append(("SCRAM-SHA-256", user, right))
        if right:
            server_key = hmac.digest(salted if self.honest else b"?", b"Server Key", "sha256")
            await server.challenge_auth(b"v=" + base64.b64encode(
                hmac.digest(server_key, exchange, "sha256")))
        return AuthResult(success=right, handled=False)

    async def auth_OAUTHBEARER(self, server, args):
        data = base64.b64decode(args[1])
        self.logins.append(("OAUTHBEARER", data))
        if data == b"n,a=me,\1host=" + NAME.encode() + b"\1port=465\1auth=Bearer " + self.token + b"\1\1":
            return AuthResult(success=True, handled=False)
        assert await server.challenge_auth(b'{"status":"invalid_token"}') == b"\1"
        return AuthResult(success=False, handled=False)


def run(smarthost):
    smarthost.controller.start()
    yield smarthost
    smarthost.controller.stop()


@pytest.fixture
def smarthost(world):
    yield from run(Smarthost(world))


@pytest.fixture
def modern(world):
    yield from run(ModernSmarthost(world))


def write_secret(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    os.rename(new, path)


def start(world, smarthost, **auth):
    world.start_relay(
        tls={"trust-anchors": str(smarthost.certificate)},
        routes=[{"domain": "*", "via": f"smtps://{NAME}", "tls": "verify", "auth-login": "me", **auth}])


def test_mail_goes_out_after_a_login(world, smarthost):
    secret = world.folder / "password"
    write_secret(secret, "sesame\n")
    start(world, smarthost, **{"auth-password": str(secret)})
    world.send("a@here.test", "b@there.test")
    world.wait_empty_queue()
    assert smarthost.logins == [("PLAIN", b"me", b"sesame")]
    assert smarthost.messages[0].rcpt_tos == ["b@there.test"]


def test_scram_is_preferred_and_keeps_the_password_here(world, modern):
    secret = world.folder / "password"
    write_secret(secret, "sesame\n")
    start(world, modern, **{"auth-password": str(secret)})
    world.send("a@here.test", "b@there.test")
    world.wait_empty_queue()
    assert modern.logins == [("SCRAM-SHA-256", b"me", True)]
    assert modern.messages[0].rcpt_tos == ["b@there.test"]


def test_a_wrong_password_fails_with_scram_too(world, modern):
    secret = world.folder / "password"
    write_secret(secret, "wrong\n")
    start(world, modern, **{"auth-password": str(secret)})
    world.send("a@here.test", "b@there.test")
    last = world.wait_deferred()["rcpts"][0]["last"]
    assert last["code"] == 535 and last["stage"] == "logging in"
    assert modern.logins == [("SCRAM-SHA-256", b"me", False)] and not modern.messages


def test_a_host_that_does_not_prove_itself_gets_no_mail(world, modern):
    modern.honest = False
    secret = world.folder / "password"
    write_secret(secret, "sesame\n")
    start(world, modern, **{"auth-password": str(secret)})
    world.send("a@here.test", "b@there.test")
    assert world.wait_deferred()["rcpts"][0]["last"]["stage"] == "logging in"
    assert modern.logins == [("SCRAM-SHA-256", b"me", True)] and not modern.messages


def test_a_wrong_password_is_said_to_each_host_once(world):
    """Not to each of its addresses: an account may be locked after a few. A host named behind it has its try."""
    certificate = make_certificate(world.folder, "one.test", "two.test")
    sinks = [world.sink(name, port=465, implicit_tls=True, certificate=certificate, extensions=["AUTH PLAIN"])
             for name in ("one.test", "one.test", "one.test", "two.test")]
    secret = world.folder / "password"
    write_secret(secret, "wrong\n")
    world.start_relay(tls={"trust-anchors": str(certificate[0])}, routes=[
        {"domain": "*", "via": ["smtps://one.test", "smtps://two.test"], "tls": "verify", "auth-login": "me",
         "auth-password": str(secret)}])
    world.send("a@here.test", "b@there.test")
    last = world.wait_deferred()["rcpts"][0]["last"]
    assert last["code"] // 100 == 5 and last["stage"] == "logging in"
    logins = [sum(c.startswith("AUTH") for c in sink.commands) for sink in sinks]
    assert sum(logins[:3]) == 1 and logins[3] == 1, logins


def test_a_token_goes_by_oauthbearer(world, modern):
    secret = world.folder / "token"
    write_secret(secret, "token-0\n")
    start(world, modern, **{"auth-token": str(secret)})
    world.send("a@here.test", "b@there.test")
    assert world.wait_deferred()["rcpts"][0]["last"]["code"] == 535
    write_secret(secret, "token-1\n")
    world.log.wait("secret_renewed")
    world.tern("queue", "retry", "--all")
    world.wait_empty_queue()
    assert [mechanism for mechanism, _ in modern.logins] == ["OAUTHBEARER"] * 2
    assert len(modern.messages) == 1


def test_a_wrong_password_puts_mail_off(world, smarthost):
    secret = world.folder / "password"
    write_secret(secret, "wrong\n")
    start(world, smarthost, **{"auth-password": str(secret)})
    world.send("a@here.test", "b@there.test")
    row = world.wait_deferred()
    last = row["rcpts"][0]["last"]
    assert last["code"] == 535 and last["enhanced"].startswith("4.") and last["stage"] == "logging in"
    assert not smarthost.messages


def test_a_token_is_read_again_when_it_has_changed(world, smarthost):
    secret = world.folder / "token"
    write_secret(secret, "token-0\n")
    start(world, smarthost, **{"auth-token": str(secret)})
    world.send("a@here.test", "b@there.test")
    world.wait_deferred()
    write_secret(secret, "token-1\n")
    world.log.wait("secret_renewed")
    world.tern("queue", "retry", "--all")
    world.wait_empty_queue()
    assert len(smarthost.messages) == 1


def test_a_secret_that_everybody_may_read_is_refused(world, smarthost):
    secret = world.folder / "password"
    secret.write_text("sesame\n")
    secret.chmod(0o644)
    world.configure(routes=[{"domain": "*", "via": f"smtps://{NAME}", "tls": "verify", "auth-login": "me",
                             "auth-password": str(secret)}])
    world.start_in_vain()
    assert "chmod 600" in world.log.text()
