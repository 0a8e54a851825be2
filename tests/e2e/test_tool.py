"""tern itself: what it says to every call, wrong ones too."""
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

MANUALS = Path(__file__).resolve().parents[2] / "man"

WRONG = """
--odd
frobnicate
config
config odd
config check a b
queue
queue odd
queue list xyz
queue list 0123
queue list --state odd
queue list --domain
queue list --odd
queue show
queue show --all odd
queue cat
queue cat --all
queue cat xyz
queue retry
queue hold --odd
queue export --all
queue import
queue import a b
status odd
destinations a b
destinations open
destinations close --odd
trace
trace a b
reroute
reroute --dry-run odd
spool
spool check odd
user
user odd
user add
user add a b
user list --json
explain
explain --from a@b.test
explain --from a@b.test --to c@d.test --tls 1.3
explain --odd
""".strip().splitlines()

CHANGES = ("retry", "hold", "release", "delete", "undelete")


def rows(text):
    """(the words of a command, what it takes) from its usage."""
    flat = re.sub(r"\n {8,}(?=\S)", "  ", text)
    for line in re.findall(r"^  (\S.*)$", flat, re.M):
        call = re.split(r" {2,}(?=[a-z])", line)[0]
        words = []
        for word in call.split():
            if len(words) == 2 or not re.fullmatch(r"[a-z]+", word):
                break
            words.append(word)
        yield " ".join(words), call


def test_every_wrong_use_says_what_to_do(world):
    world.write_config()
    for call in WRONG:
        done = world.tern(*shlex.split(call))
        assert done.returncode == 2 and done.stdout == "", call
        assert done.stderr.startswith(("tern: ", "usage: ")), call
        command = call.split()[0]
        wanted = "  config check" if command in ("--odd", "frobnicate") else f"  {command} "
        assert wanted in done.stderr, (call, done.stderr)


def test_every_command_has_help_and_a_place_in_the_manual(world):
    commands = list(rows(world.tern("--help").stdout))
    assert len(commands) > 20
    pages = {name: (MANUALS / name).read_text() for name in ("tern.8", "tern-queue.8")}
    for words, call in commands:
        done = world.tern(*words.split(), "--help")
        assert done.returncode == 0 and done.stderr == "", words
        assert words in [w for w, _ in rows(done.stdout)], words
        queue = words.startswith("queue ")
        page = pages["tern-queue.8" if queue else "tern.8"]
        name = words.removeprefix("queue ")
        assert re.search(rf"^\.It Cm {name}\b", page, re.M), words
        synopsis = page.split(".Sh DESCRIPTION")[0]
        assert re.search(rf"^\.(Nm tern )?Cm .*{words.split()[-1]}\b", synopsis, re.M), words
        for option in re.findall(r"--([a-z-]+)", call):
            assert f"Fl -{option}" in synopsis, (words, option)
    done = world.tern("queue", "--help")
    assert done.returncode == 0 and len(list(rows(done.stdout))) == 10


def test_what_nobody_can_answer_is_said(world):
    world.write_config()
    for call in ("status", "destinations", "queue list", "queue show --all", "trace a@b.test",
                 "destinations open a.test", "queue delete --all", "queue cat 0123456789abcdef",
                 "explain 0123456789abcdef", "reroute --dry-run"):
        done = world.tern(*call.split())
        assert done.returncode == 2 and done.stdout == "", call
        assert done.stderr == f"tern: nothing runs, and there is no spool at {world.spool}\n", call
    world.config_path.write_text("hostnam: mx.tern.test\n")
    done = world.tern("status")
    assert done.returncode == 2 and "did you mean" in done.stderr
    assert done.stderr.endswith("tern: nothing runs, and the configuration has mistakes\n")


def test_what_is_not_there_is_said(world):
    world.start_relay()
    for call, words in (("queue show 0123456789abcdef", "there is no such message"),
                        ("queue cat 0123456789abcdef", "there is no such message"),
                        ("explain 0123456789abcdef", "there is no such message in the queue"),
                        ("trace nobody@a.test", "nothing is known of such mail"),
                        ("destinations a.test", "the queue has no destination a.test")):
        done = world.tern(*call.split())
        assert done.returncode == 1 and done.stdout == "", call
        assert done.stderr.startswith(f"tern: {words}"), call
    for change in CHANGES:
        done = world.tern("queue", change, "0123456789abcdef", "--json")
        assert done.returncode == 1 and done.stdout == '{"v":1,"matched":0}\n'


def test_a_change_answers_in_json_when_asked(world):
    world.domain("busy.test", rcpt="451 4.2.0 come back later")
    world.start_relay()
    world.send("alice@here.test", "b@busy.test")
    world.wait_deferred()
    for change in ("destinations open mx.busy.test", "destinations close mx.busy.test",
                   "queue hold --all"):
        done = world.tern(*change.split(), "--json")
        assert done.returncode == 0 and done.stdout == '{"v":1,"matched":1}\n', change


@pytest.mark.parametrize("command", ["tern --help", "tern --config C queue list"])
def test_a_pipe_that_is_closed_early_is_no_trouble(world, command):
    world.start_relay()
    words = [str(world.build / "tools" / "tern")] + command.split()[1:]
    words = [str(world.config_path) if word == "C" else word for word in words]
    with subprocess.Popen(["sh", "-c", 'read line; exec "$@"', "sh", *words], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as its:
        its.stdout.close()
        its.stdin.write(b"go\n")
        its.stdin.close()
        assert its.stderr.read() == b""
    assert its.returncode == -signal.SIGPIPE


def test_what_cannot_be_written_is_said(world):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([str(world.build / "tools" / "tern"), "--help"], stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and done.stderr.startswith("tern: not all of this could be")
