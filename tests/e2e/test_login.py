"""Logins: the user file, the mechanisms, what becomes of failures. Clients are swaks, curl, msmtp, gsasl, Nodemailer and
Python's smtplib."""
import base64
import hashlib
import hmac
import os
import smtplib
import ssl
import subprocess
import threading
import time

import pytest

from world import PATIENCE_S, namespace, wait_for

PASSWORD = "correct horse"
MANY_TRIES = {"tries-per-client": 1000, "tries-per-login": 1000}


def add_user(world, login, password=PASSWORD, verb="add"):
    command = namespace.without_capabilities() + [
        str(world.build / "tools" / "tern"), "--config", str(world.config_path)]
    world.write_config()
    return subprocess.run(command + ["user", verb, login], input=password + "\n", text=True,
                          capture_output=True, timeout=PATIENCE_S)


def start(world, **auth):
    """A relay with the user alice, in whose network nobody is trusted."""
    folder = world.folder / "users"
    folder.mkdir()
    world.configure(auth={"users": str(folder / "users"), **auth}, trust=["192.0.2.0/24"],
                    listen=[*world.settings["listen"],
                            {"address": "127.0.0.1:587", "role": "submission"},
                            {"address": "127.0.0.1:2526", "auth": "plain"}])
    done = add_user(world, "alice@here.test")
    assert done.returncode == 0, done.stderr
    world.give_away(folder)
    world.start_relay()


def plain(login, password=PASSWORD):
    return "AUTH PLAIN " + base64.b64encode(f"\0{login}\0{password}".encode()).decode()


def context():
    c = ssl.create_default_context()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    return c


def under_tls(world, **how):
    c = world.connect(465, tls=True, **how)
    c.hello()
    return c


def test_python_logs_in_and_relays(world):
    there = world.domain("there.test")
    start(world)
    with smtplib.SMTP("127.0.0.1", 587, "client.test", PATIENCE_S) as client:
        client.starttls(context=context())
        client.login("alice@here.test", PASSWORD)
        client.sendmail("alice@here.test", ["b@there.test"], "Subject: x\r\n\r\nx\r\n")
    head = there.wait_message().content.partition(b"\r\n\r\n")[0]
    assert b"with ESMTPSA" in head
    assert world.log.wait("message_accepted")["login"] == "alice@here.test"
    assert world.log.wait("login_accepted")["client"] == "127.0.0.1"
    assert PASSWORD not in world.log.text()


def test_without_a_login_nothing_is_relayed(world):
    start(world)
    with world.connect(587) as c:
        c.hello()
        assert c.command("MAIL FROM:<alice@here.test>").startswith("530 5.7.0 ")
        c.start_tls()
        assert "AUTH" in c.command("EHLO client.test")
        assert c.command("MAIL FROM:<alice@here.test>") == "530 5.7.0 Authentication required"
    with world.connect(25) as c:
        assert "AUTH" not in c.hello()
        assert c.command(plain("alice@here.test")).startswith("538 5.7.11 ")
        assert c.command("MAIL FROM:<alice@here.test>").startswith("250")
        assert c.command("RCPT TO:<b@there.test>").startswith("554 5.7.1 ")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_logs_in(world, mechanism):
    there = world.domain("there.test")
    start(world)
    for port, tls in (("587", "--tls"), ("465", "--tls-on-connect"), ("2526", "-n")):
        done = subprocess.run(
            ["swaks", "--server", f"127.0.0.1:{port}", tls, "--auth", mechanism,
             "--auth-user", "alice@here.test", "--auth-password", PASSWORD,
             "--from", "alice@here.test", "--to", "b@there.test", "--helo", "client.test"],
            capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stdout
    there.wait(3)
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1:587", "--tls", "--auth", mechanism,
         "--auth-user", "alice@here.test", "--auth-password", "wrong", "--from", "a@here.test",
         "--to", "b@there.test"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 28 and "535 5.7.8" in done.stdout, done.stdout


def test_curl_logs_in(world):
    there = world.domain("there.test")
    start(world)
    mail = world.folder / "mail.txt"
    mail.write_text("Subject: x\r\n\r\nx\r\n")
    done = subprocess.run(
        ["curl", "-sS", "--insecure", "--url", "smtps://127.0.0.1:465", "--mail-from",
         "alice@here.test", "--mail-rcpt", "b@there.test", "--upload-file", str(mail), "--user",
         f"alice@here.test:{PASSWORD}"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    there.wait_message()


def test_msmtp_logs_in_with_scram(world):
    there = world.domain("there.test")
    start(world)
    done = subprocess.run(
        ["msmtp", "--file=/dev/null", "--host=127.0.0.1", "--port=465", "--tls=on",
         "--tls-starttls=off", "--tls-certcheck=off", "--auth=scram-sha-256",
         "--user=alice@here.test", f"--passwordeval=echo '{PASSWORD}'", "--from=alice@here.test",
         "b@there.test"], input="Subject: x\n\nx\n", capture_output=True, text=True,
        timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    there.wait_message()
    assert world.log.wait("login_accepted")["mechanism"] == "SCRAM-SHA-256"


NODEMAILER = """
const server = { host: "127.0.0.1", port: +process.argv[1], secure: process.argv[1] === "465", requireTLS: true,
                 auth: { user: "alice@here.test", pass: process.argv[2] },
                 tls: { rejectUnauthorized: false }, pool: true };
const mails = [1, 2, 3].map(n => ({ from: "Alice <alice@here.test>", to: "b@there.test",
    envelope: { from: "alice@here.test", to: "b@there.test" }, subject: "Größe " + n, text: "Grüße\\n.\\n",
    attachments: [{ filename: "a.bin", content: Buffer.alloc(100000, n) }] }));
const transport = require("nodemailer").createTransport(server);
Promise.all(mails.map(m => transport.sendMail(m))).then(
    () => transport.close(), e => { console.error(e); process.exit(1); });
"""


@pytest.mark.parametrize("port", [465, 587])
def test_nodemailer_sends_through_a_pool(world, port):
    there = world.domain("there.test")
    start(world)
    done = subprocess.run(["node", "-e", NODEMAILER, "--", str(port), PASSWORD], capture_output=True, text=True,
                          env={**os.environ, "NODE_PATH": "/usr/share/nodejs"}, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    there.wait(3)
    assert world.log.wait("message_accepted", count=3)["login"] == "alice@here.test"


def test_gsasl_binds_its_login_to_the_connection(world):
    start(world)
    done = subprocess.run(
        ["gsasl", "--smtp", "--connect=127.0.0.1:587", "--mechanism=SCRAM-SHA-256-PLUS",
         "--authentication-id=alice@here.test", f"--password={PASSWORD}", "--no-client-first",
         "--x509-ca-file="], input="QUIT\n", capture_output=True, text=True, timeout=PATIENCE_S)
    assert world.log.has("login_accepted", mechanism="SCRAM-SHA-256-PLUS"), done.stdout + done.stderr


class Scram:
    """A client of its own (RFC 5802), which takes what `binding` says for the channel's data."""

    def __init__(self, c, mechanism="SCRAM-SHA-256", gs2="n,,", binding=b""):
        self.c = c
        self.mechanism = mechanism
        self.gs2 = gs2.encode()
        self.binding = binding

    def begin(self, login):
        self.bare = b"n=" + login.encode() + b",r=abcdef"
        words = self.c.command(
            f"AUTH {self.mechanism} " + base64.b64encode(self.gs2 + self.bare).decode())
        if not words.startswith("334 "):
            return words
        self.first = base64.b64decode(words[4:])
        fields = dict(f.split(b"=", 1) for f in self.first.split(b","))
        self.nonce, self.salt = fields[b"r"], base64.b64decode(fields[b"s"])
        self.rounds = int(fields[b"i"])
        return words

    def finish(self, password):
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), self.salt, self.rounds)
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = b"c=" + base64.b64encode(self.gs2 + self.binding) + b",r=" + self.nonce
        auth = self.bare + b"," + self.first + b"," + final
        signature = hmac.digest(hashlib.sha256(key).digest(), auth, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        words = self.c.command(
            base64.b64encode(final + b",p=" + base64.b64encode(proof)).decode())
        if not words.startswith("334 "):
            return words
        server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth, "sha256")
        assert base64.b64decode(words[4:]) == b"v=" + base64.b64encode(server)
        return self.c.command("")

    def run(self, login, password=PASSWORD):
        words = self.begin(login)
        return self.finish(password) if words.startswith("334 ") else words


def test_scram_with_and_without_a_bound_channel(world):
    start(world)
    with world.connect(587) as c:
        c.hello()
        assert c.command("STARTTLS").startswith("220")
        older = context()
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        c.s = older.wrap_socket(c.s)
        c.f = c.s.makefile("rb")
        assert "SCRAM-SHA-256-PLUS" in c.command("EHLO client.test")
        data = c.s.get_channel_binding("tls-unique")
        wrong = Scram(c, "SCRAM-SHA-256-PLUS", "p=tls-unique,,", b"x" * len(data))
        assert wrong.run("alice@here.test").startswith("535 5.7.8 ")
        downgraded = Scram(c, "SCRAM-SHA-256", "y,,")
        assert downgraded.run("alice@here.test").startswith("535 5.7.8 ")
        bound = Scram(c, "SCRAM-SHA-256-PLUS", "p=tls-unique,,", data)
        assert bound.run("alice@here.test").startswith("235 2.7.0 ")
    with under_tls(world) as c:
        assert Scram(c).run("alice@here.test", "wrong").startswith("535 5.7.8 ")
        assert Scram(c).run("ALICE@here.test").startswith("235 2.7.0 ")


def test_who_does_not_exist_looks_like_everybody_else(world):
    start(world)
    with under_tls(world) as c:
        known, unknown, again = Scram(c), Scram(c), Scram(c)
        for scram, login in ((known, "alice@here.test"), (unknown, "eve@here.test"),
                             (again, "eve@here.test")):
            assert scram.begin(login).startswith("334 ")
            assert scram.finish("wrong") == "535 5.7.8 Authentication credentials invalid"
        assert unknown.salt == again.salt != known.salt
        assert unknown.rounds == known.rounds and len(unknown.salt) == len(known.salt)
        assert c.command(plain("alice@here.test", "wrong")) == \
            c.command(plain("eve@here.test", "wrong"))
    assert {f["reason"] for f in world.log.find("login_refused")} == {
        "wrong password", "no such user"}


def test_users_come_and_go_without_a_reload(world):
    start(world, **MANY_TRIES)
    assert add_user(world, "alice@here.test").returncode == 2  # there already
    assert add_user(world, "Bob").returncode == 0
    assert add_user(world, "bob", "another", "passwd").returncode == 0
    assert add_user(world, "nobody", "x", "passwd").returncode == 2
    assert world.tern("user", "list").stdout.split() == ["alice@here.test", "bob"]
    world.give_away(world.folder / "users")
    assert "another" not in (world.folder / "users" / "users").read_text()

    def try_bob(password="another"):
        with under_tls(world) as c:
            return c.command(plain("bob", password))[:3]
    wait_for(lambda: try_bob() == "235", "bob to log in")
    assert world.tern("user", "remove", "bob").returncode == 0
    wait_for(lambda: try_bob() == "535", "bob to be gone")


def test_a_broken_user_file_is_our_trouble(world):
    start(world)
    path = world.folder / "users" / "users"
    path.write_text("alice:x:1:1\n")
    with under_tls(world) as c:
        time.sleep(1.1)
        assert c.command(plain("alice@here.test")).startswith("235")  # what was read before holds
    assert "line 1" in world.log.wait("users_unreadable")["reason"]
    world.stop_relay()
    world.start_relay()
    with under_tls(world) as c:
        assert c.command(plain("alice@here.test")).startswith("454 4.7.0 ")


def test_a_lost_auth_process_is_replaced(world):
    world.deaths_are_expected = True
    start(world, **MANY_TRIES)
    with under_tls(world) as c:
        os.kill(world.pids_of("auth")[0], 9)
        wait_for(lambda: c.command(plain("alice@here.test"))[:3] in ("454", "235"), "an answer")
        wait_for(lambda: c.command(plain("alice@here.test"))[:3] in ("235", "503"), "a login")
    assert world.log.has("auth_lost")


def test_guessing_is_slowed_down_and_others_are_served(world):
    start(world, **{"tries-per-client": 5, "tries-per-login": 8})
    with under_tls(world) as c:
        assert c.command(plain("alice@here.test")).startswith("235")  # from 127.0.0.1
    answers = []

    def guess(source):
        with under_tls(world, source=source) as c:
            for i in range(15):
                words = c.command(plain("alice@here.test", f"guess {i}"))
                answers.append(words[:3])
    threads = [threading.Thread(target=guess, args=(f"127.0.0.{n}",)) for n in (11, 12, 13, 14)]
    for t in threads:
        t.start()
    with under_tls(world) as c:
        assert c.command(plain("alice@here.test")).startswith("235")
    for t in threads:
        t.join()
    # 8 for the login, and at most 5 of one client; whatever runs at once is decided one by one
    assert answers.count("535") == 8 and answers.count("454") == 52
    with under_tls(world, source="127.0.0.15") as c:
        assert c.command(plain("alice@here.test")).startswith("454 4.7.0 ")
        assert c.command(plain("other")).startswith("535")
    with under_tls(world) as c:  # where alice was before
        assert c.command(plain("alice@here.test")).startswith("235")
    assert world.log.has("logins_limited", login="alice@here.test")


def test_a_reload_takes_logins_along(world):
    start(world)
    with under_tls(world) as c:
        world.reload()
        with under_tls(world) as d:
            assert d.command(plain("alice@here.test")).startswith("235")
        assert c.command(plain("alice@here.test")).startswith("235")


def test_a_login_sends_from_its_own_addresses(world):
    there = world.domain("there.test")
    start(world, senders={"printer": ["scan@elsewhere.test"]}, **MANY_TRIES)
    assert add_user(world, "printer").returncode == 0
    world.give_away(world.folder / "users")
    for login, own, other in (("alice@here.test", "alice@here.test", "bob@here.test"),
                              ("printer", "scan@elsewhere.test", "printer@here.test")):
        with under_tls(world) as c:
            wait_for(lambda: c.command(plain(login))[:3] == "235", login)
            assert c.command(f"MAIL FROM:<{other}>").startswith("553 5.7.1 ")
            c.begin(own, "b@there.test")
            c.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
            assert c.reply().startswith("250")
    there.wait(2)


def test_a_client_that_a_proxy_does_not_know_may_log_in(world):
    world.settings["listen"].append(
        {"address": "127.0.0.1:2600", "xclient": ["127.0.0.1"], "auth": "plain"})
    start(world)
    with world.connect(2600) as c:
        c.hello()
        assert c.command("XCLIENT ADDR=[UNAVAILABLE]").startswith("220")
        assert "AUTH" in c.command("EHLO client.test")
        assert c.command(plain("alice@here.test", "wrong")).startswith("535")
        assert c.command(plain("alice@here.test")).startswith("235")
    assert world.log.wait("login_accepted")["client"] == "unknown"
