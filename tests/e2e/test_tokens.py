"""Tokens that a command gets (auth-token-command), for smarthosts that want one."""
import contextlib
import re
import shutil
import tempfile
from pathlib import Path

import pytest

import namespace
from test_smarthost import NAME, Smarthost, run
from world import wait_for


@pytest.fixture
def smarthost(world):
    yield from run(Smarthost(world))


@pytest.fixture
def desk():
    """A folder that the user of the commands may write to."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def command(desk, script):
    """Counts its runs in $n."""
    return ["/bin/sh", "-c", f"echo >>{desk}/runs; n=$(wc -l <{desk}/runs); {script}"]


def runs(desk):
    return len((desk / "runs").read_bytes())


def route(script_words, **more):
    return {"domain": "*", "via": f"smtps://{NAME}", "tls": "verify", "auth-login": "me",
            "auth-token-command": script_words, **more}


def start(world, smarthost, words, **sections):
    if namespace.is_root():
        world.configure(users={"tokens": "nobody"})
    world.start_relay(tls={"trust-anchors": str(smarthost.certificate)}, routes=[route(words)],
                      **sections)


def tokens(smarthost):
    return [data.split(b"Bearer ")[1].rstrip(b"\1") for _, data in smarthost.logins]


def test_mail_goes_out_with_the_token_that_a_command_got(world, smarthost, desk):
    start(world, smarthost, command(
        desk, """sleep 1; echo '{"access_token": "token-1", "expires_in": 3600}'"""))
    for _ in range(3):
        world.send("a@here.test", "b@there.test")
    world.wait_empty_queue()
    assert len(smarthost.messages) == 3
    assert set(tokens(smarthost)) == {b"token-1"} and runs(desk) == 1
    assert not world.log.has("token_failed") and "token-1" not in world.log.text()


def test_a_token_is_got_anew_before_it_expires(world, smarthost, desk):
    start(world, smarthost, command(
        desk, """printf '{"access_token":"token-%d","expires_in":%d}' $n $((n < 3 ? 2 : 3600))"""))
    world.log.wait("secret_renewed", count=3)
    smarthost.token = b"token-3"
    world.send("a@here.test", "b@there.test")
    world.wait_empty_queue()
    assert tokens(smarthost) == [b"token-3"] and runs(desk) == 3


def test_a_refused_token_is_got_anew_and_the_mail_goes_at_once(world, smarthost, desk):
    smarthost.token = b"token-2"
    start(world, smarthost, command(desk, "echo token-$n"))
    world.send("a@here.test", "b@there.test")
    world.wait_empty_queue()
    assert tokens(smarthost) == [b"token-1", b"token-2"] and runs(desk) == 2
    assert len(smarthost.messages) == 1 and not world.log.has("deferred")


def test_mail_waits_when_no_token_is_believed(world, smarthost, desk):
    smarthost.token = b"another"
    start(world, smarthost, command(desk, "echo token-$n"))
    world.send("a@here.test", "b@there.test")
    last = world.wait_deferred()["rcpts"][0]["last"]
    assert last["code"] == 535 and last["enhanced"].startswith("4.") and last["stage"] == "logging in"
    assert tokens(smarthost) == [b"token-1", b"token-2"] and runs(desk) == 2
    world.tern("queue", "retry", "--all")
    wait_for(lambda: len(smarthost.logins) >= 3, "another attempt")
    world.wait_deferred()
    assert runs(desk) == 2, "a token that was just got is not got anew"


@pytest.mark.parametrize("script, reason", [
    ("echo no network >&2; exit 3", "it ended with status 3: no network"),
    ("echo these are words", "it printed neither a token nor"),
    ("echo '{\"error\":\"invalid_grant\"}'", "it printed neither a token nor"),
    ("yes", "it printed more than 16384 bytes"),
    ("sleep 4242", "it has not ended within 1000 ms"),
], ids=["fails", "rubbish", "an error", "endless", "hangs"])
def test_mail_waits_while_the_command_gets_no_token(world, smarthost, desk, script, reason):
    (desk / "broken").touch()
    start(world, smarthost, command(desk, f"test ! -e {desk}/broken || {{ {script}; exit; }}; echo token-1"),
          timeouts={"token": "1s"})
    world.domain("other.test")
    world.send("a@here.test", "b@there.test")
    row = world.wait_deferred()
    assert row["rcpts"][0]["last"]["enhanced"].startswith("4.")
    assert "there is no password or token" in row["rcpts"][0]["last"]["text"]
    assert world.log.wait("token_failed")["reason"].startswith(reason)
    assert not smarthost.logins
    (desk / "broken").unlink()
    world.log.wait("secret_renewed")
    world.tern("queue", "retry", "--all")
    world.wait_empty_queue()
    assert len(smarthost.messages) == 1 and not world.log.has("bounced")


def test_a_command_that_hangs_holds_up_no_other_mail(world, smarthost, desk):
    sink = world.domain("other.test")
    if namespace.is_root():
        world.configure(users={"tokens": "nobody"})
    world.start_relay(tls={"trust-anchors": str(smarthost.certificate)},
                      routes=[route(["/bin/sleep", "4242"], domain="there.test"),
                              route(["/bin/echo", "token-1"], domain="third.test", name="third")])
    for domain in ("there.test", "other.test", "third.test"):
        world.send("a@here.test", f"b@{domain}")
    sink.wait()
    wait_for(lambda: smarthost.messages, "mail by the other route with a command")
    assert [m.rcpt_tos for m in smarthost.messages] == [["b@third.test"]]
    assert world.queue()[0]["rcpts"][0]["addr"] == "b@there.test"
    world.stop_relay()
    wait_for(lambda: b"/bin/sleep\x004242\x00" not in command_lines(), "the command to end with Tern")


def test_what_a_command_starts_ends_with_tern(world, smarthost, desk):
    start(world, smarthost, ["/bin/sh", "-c", "setsid /bin/sleep 4243 & sleep 4244"])
    wait_for(lambda: b"/bin/sleep\x004243\x00" in command_lines(), "the command to start it")
    world.stop_relay()
    wait_for(lambda: b"/bin/sleep\x004243\x00" not in command_lines(), "it to end")


def command_lines():
    """Of all processes; some end while they are looked at."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes())
    return lines


def test_a_reload_changes_the_command_but_brings_no_first_one(world, smarthost, desk):
    smarthost.token = b"token-2"
    start(world, smarthost, ["/bin/echo", "token-2"])
    world.configure(routes=[route(["/bin/echo", "token-3"])])
    smarthost.token = b"token-3"
    world.reload()
    world.send("a@here.test", "b@there.test")
    world.wait_empty_queue()
    assert tokens(smarthost) == [b"token-3"]
    world.stop_relay()
    world.configure(routes=[])
    world.start_relay()
    world.configure(routes=[route(["/bin/echo", "token-3"])])
    world.reload()
    reason = world.log.wait("reload_failed")["reason"]
    place, _, words = reason.partition(": ")
    assert "restart it" in words
    path, line = place.rsplit(":", 1)
    assert "/bin/echo" in " ".join(Path(path).read_text().splitlines()[int(line) - 1:int(line) + 1])
    assert re.search(rf"^{re.escape(place)}:\d+: error: {re.escape(words)}$", world.log.text(), re.M)
