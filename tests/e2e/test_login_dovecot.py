"""Logins that Dovecot checks, and what happens when it does not."""
import contextlib
import os
import signal
from pathlib import Path

import pytest

from dovecot import PASSWORD, dovecot  # noqa: F401
from test_login import Scram, plain, under_tls
from world import wait_for

BOB = "bob@read.test"
SERVICE = """
auth_mechanisms = plain login scram-sha-256
auth_failure_delay = 0
service auth {
  unix_listener tern {
    mode = 0666
  }
}
"""


def start(world, dovecot):
    world.start_relay(auth={"dovecot": str(dovecot.folder / "run" / "tern")}, trust=["192.0.2.0/24"],
                      listen=[*world.settings["listen"],
                              {"address": "127.0.0.1:587", "role": "submission", "tls": "implicit"}])
    world.log.wait("dovecot_connected")


@pytest.fixture
def checked(world, dovecot):
    """Tern that asks Dovecot, which knows bob."""
    dovecot.write_config(SERVICE)
    dovecot.add_user(BOB)
    dovecot.start()
    start(world, dovecot)
    return dovecot


def auth_process(master):
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # others come and go
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == "auth":
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == master:
                    return int(entry.name)
    raise AssertionError("Dovecot has no auth process")


def try_login(world, words=None):
    with under_tls(world) as c:
        return c.command(words or plain(BOB, PASSWORD))


def test_dovecot_checks_logins(world, checked):
    there = world.domain("there.test")
    with under_tls(world) as c:
        assert "250 AUTH PLAIN LOGIN SCRAM-SHA-256" in c.command("EHLO client.test")
        assert c.command(plain(BOB, "wrong")) == "535 5.7.8 Authentication credentials invalid"
        assert c.command(plain("eve@read.test", "wrong")) == \
            "535 5.7.8 Authentication credentials invalid"
        assert c.command("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert c.command("*").startswith("501")
        assert c.command(plain(BOB, PASSWORD)).startswith("235 2.7.0 ")
        assert c.command("MAIL FROM:<other@read.test>").startswith("553 5.7.1 ")
        c.begin(BOB, "b@there.test")
        c.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert c.reply().startswith("250")
    assert b"with ESMTPSA" in there.wait_message().content
    assert world.log.wait("message_accepted")["login"] == BOB


def test_a_login_without_tries_left_does_not_learn_what_was_right(world, dovecot):
    dovecot.write_config(SERVICE)
    dovecot.add_user(BOB)
    dovecot.start()
    world.configure(auth={"tries-per-login": 3})
    start(world, dovecot)
    with under_tls(world) as c:
        answers = [c.command(plain(BOB, f"guess {n}"))[:3] for n in range(6)]
        assert answers == ["535"] * 3 + ["454"] * 3
        assert c.command(plain(BOB, PASSWORD)).startswith("454 ")


def test_scram_through_dovecot(world, checked):
    with under_tls(world) as c:
        assert Scram(c).run(BOB, "wrong").startswith("535 5.7.8 ")
        assert Scram(c).run(BOB, PASSWORD).startswith("235 2.7.0 ")


def test_a_dovecot_that_cannot_look_is_no_refusal(world, dovecot):
    program = dovecot.folder / "check"
    program.write_text("#!/bin/sh\nexit 111\n")
    program.chmod(0o755)
    dovecot.write_config(SERVICE.replace(" scram-sha-256", "")
                         + f"passdb {{\n  driver = checkpassword\n  args = {program}\n}}\n")
    dovecot.add_user(BOB)
    dovecot.start()
    start(world, dovecot)
    assert try_login(world).startswith("235")
    assert try_login(world, plain("eve@read.test")) == \
        "454 4.7.0 Logins cannot be checked now, try again later"
    assert world.log.wait("login_not_checked")["login"] == "eve@read.test"


def test_a_dovecot_that_is_away_is_asked_again_when_it_is_back(world, checked):
    path = checked.folder / "run" / "tern"
    path.rename(path.with_suffix(".away"))
    os.kill(auth_process(checked.process.pid), signal.SIGKILL)
    world.log.wait("dovecot_unavailable")
    with under_tls(world) as c:
        wait_for(lambda: " AUTH" not in c.command("EHLO client.test"), "nothing to be announced")
        assert c.command(plain(BOB, PASSWORD)).startswith("454 4.7.0 ")
    with world.connect(587, tls=True) as c:
        c.hello()
        assert c.command(f"MAIL FROM:<{BOB}>") == "454 4.7.0 Logins cannot be checked now, try again later"
    path.with_suffix(".away").rename(path)
    world.log.wait("dovecot_connected", count=2)
    with under_tls(world) as c:
        wait_for(lambda: "250 AUTH PLAIN LOGIN SCRAM-SHA-256" in c.command("EHLO client.test"), "AUTH")
        assert c.command(plain(BOB, PASSWORD)).startswith("235")


def test_the_wrong_socket_is_recognized(world, dovecot):
    dovecot.write_config(SERVICE.replace("tern", "auth-userdb"))
    dovecot.add_user(BOB)
    dovecot.start()
    world.start_relay(auth={"dovecot": str(dovecot.folder / "run" / "auth-userdb")},
                      trust=["192.0.2.0/24"])
    assert "auth-client" in world.log.wait("dovecot_unavailable")["reason"]
    assert try_login(world).startswith("454 4.7.0 ")
