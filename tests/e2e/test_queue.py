"""The queue as an administrator sees it, and what she does with it."""
import json
import os
import pty
import re
import socket
import subprocess
import threading
import time

import pytest

import namespace
from sink import Sink

SLOW = {"first": "1h", "longest": "4h", "jitter": 0}


@pytest.fixture
def stuck(world):
    """Three messages that wait, for different reasons; ids by name."""
    world.domain("busy.test", rcpt="451 4.2.0 come back later")
    world.dns.mx("dead.test", (10, "mx.dead.test"))
    world.host("mx.dead.test")
    world.start_relay(retry=SLOW)
    ids = {"busy": world.send("alice@here.test", "b@busy.test"),
           "dead": world.send("alice@here.test", "b@dead.test"),
           "both": world.send("bob@here.test", ["c@busy.test", "c@dead.test"])}
    world.wait_queue(lambda rows: len(rows) == 3
                     and all(r["state"] in ("deferred", "waiting") for r in rows))
    return ids


def ids_of(rows):
    return {row["id"] for row in rows}


def test_the_list_tells_why_mail_waits(world, stuck):
    rows = {row["id"]: row for row in world.queue()}
    busy, dead = rows[stuck["busy"]], rows[stuck["dead"]]
    assert busy["state"] == "deferred" and "come back later" in busy["reason"]
    assert busy["sender"] == "alice@here.test" and busy["attempts"] == 1
    assert busy["rcpts"][0]["addr"] == "b@busy.test" and busy["size"] > 0
    for key in ("arrived", "next_at", "expires_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", busy[key]), key
    assert dead["state"] in ("waiting", "deferred") and "refused" in dead["reason"].lower()
    text = world.tern("queue", "list").stdout
    for words in (*stuck.values(), "come back later", "b@busy.test", "alice@here.test", "deferred"):
        assert words in text
    assert "3 messages" in text


def test_show_tells_everything_about_a_message(world, stuck):
    row = world.show(stuck["both"])
    assert row["client"] == "127.0.0.1" and row["helo"] == "client.test"
    rcpts = {r["addr"]: r for r in row["rcpts"]}
    assert "451" in str(rcpts["c@busy.test"]["last"]["code"])
    assert "mx.busy.test" in rcpts["c@busy.test"]["last"]["host"]
    text = world.tern("queue", "show", stuck["busy"])
    assert text.returncode == 0
    for words in ("come back later", "mx.busy.test", "451", "4.2.0", "b@busy.test"):
        assert words in text.stdout


@pytest.mark.parametrize("change", [
    {"via": "smtp://other.test"}, {"via": "smtp://smart.test:587"}, {"via": "smtps://smart.test:25"},
    {"via": "lmtp://smart.test:25"}, {"via": ["smtp://smart.test", "smtp://other.test"]},
    {"via": "discard"}, {"via": "550 5.7.1 no"}, {"via": "mx"}, {"tls": "encrypt"},
    {"tls": "verify"}, {"source": "192.0.2.25"},
    {"tls": "verify", "auth-login": "me", "auth-password": "/p"}, {"name": "new"}, {"balance": "yes"},
], ids=lambda change: ",".join(change) + "=" + str(list(change.values())[0]))
def test_reroute_tells_of_every_change_of_the_way(world, change):
    world.host("smart.test")
    route = {"name": "old", "domain": "there.test", "via": "smtp://smart.test"}
    world.start_relay(routes=[route])
    world.send("a@here.test", "b@there.test")
    world.wait_deferred()
    world.configure(routes=[{**route, **change}])
    world.write_config()  # of the file alone: what runs is what it was
    done = world.tern("reroute", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    *moves, total = [json.loads(line) for line in done.stdout.splitlines()]
    same = change in ({"name": "new"}, {"balance": "yes"})
    assert total["moved"] == len(moves) == (0 if same else 1)
    if not same:
        assert moves[0]["from_way"] == "smtp://smart.test:25, TLS opportunistic"
        assert moves[0]["to_way"] != moves[0]["from_way"] and moves[0]["from"] == "old"
        text = world.tern("reroute", "--dry-run").stdout
        assert f"old ({moves[0]['from_way']}) -> {moves[0]['to']} ({moves[0]['to_way']})" in text


def test_show_remembers_the_attempts_before_the_last(world, stuck):
    for attempts in (2, 3):
        world.tern("queue", "retry", stuck["busy"])
        world.wait_queue(lambda rows: rows[0]["attempts"] == attempts and rows[0]["state"] == "deferred",
                         stuck["busy"])
    rcpt = world.show(stuck["busy"])["rcpts"][0]
    assert len(rcpt["past"]) == 2
    for attempt in (rcpt["last"], *rcpt["past"]):
        assert attempt["code"] == 451 and "mx.busy.test" in attempt["host"]
        assert attempt["stage"] and attempt["text"] == rcpt["last"]["text"]
    times = [rcpt["last"]["at"], *(a["at"] for a in rcpt["past"])]
    assert times == sorted(times, reverse=True)
    text = world.tern("queue", "show", stuck["busy"]).stdout
    assert text.count("come back later") >= 3
    for attempt in rcpt["past"]:
        assert "duration_ms" not in attempt or f" {attempt['duration_ms']}ms\n" in text
    assert re.search(r"^    way +the MX hosts of the domain at port 25, TLS opportunistic$", text, re.M)


def test_show_tells_host_tls_stage_reply_and_times_of_each_attempt(world):
    replies = iter(("451 4.2.0 first", "451 4.2.0 second"))

    def rcpt(_):
        time.sleep(0.05)
        return next(replies)

    world.domain("there.test", starttls=True, certificate=world.other_certificate(), rcpt=rcpt)
    world.start_relay(retry={"first": "1h", "longest": "4h"})
    message = world.send("a@here.test", "b@there.test")
    world.wait_deferred()
    world.tern("queue", "retry", message)
    world.wait_queue(lambda rows: rows[0]["attempts"] == 2 and rows[0]["state"] == "deferred", message)
    rcpt = world.show(message)["rcpts"][0]
    text = world.tern("queue", "show", message).stdout
    for attempt, reply in ((rcpt["last"], "second"), (rcpt["past"][0], "first")):
        assert re.fullmatch(r"mx\.there\.test\[[0-9.]+\]:25", attempt["host"])
        assert attempt["stage"] == "sending RCPT TO" and attempt["text"] == reply
        assert (attempt["code"], attempt["enhanced"]) == (451, "4.2.0")
        assert re.fullmatch("TLSv1.3 .+, certificate not verified, by default opportunistic", attempt["tls"])
        assert attempt["duration_ms"] > 0 and attempt["at"]
        for fact in ("at", "host", "stage", "text", "tls"):
            assert attempt[fact] in text, fact


def test_reroute_tells_what_another_configuration_would_change(world, stuck):
    done = world.tern("reroute", "--dry-run")
    assert done.returncode == 0 and re.match(r"0 of \d recipients", done.stdout), done.stdout + done.stderr
    new = world.folder / "new.yaml"
    new.write_text(json.dumps({**world.settings, "routes": [
        {"sender": "alice@here.test", "domain": "busy.test", "via": "smtp://other.test"}]}))
    done = world.tern("reroute", "--dry-run", "--config", str(new), "--json")
    *moves, total = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(m["id"], m["from"], m["to"]) for m in moves] == [(stuck["busy"], "busy.test", "other.test:25")]
    assert total["moved"] == 1 and total["recipients"] == 4
    new.write_text("hostname: x y\n")
    assert world.tern("reroute", "--dry-run", "--config", str(new)).returncode != 0
    assert world.tern("reroute").returncode != 0


def test_messages_are_found_by_sender_recipient_domain_and_state(world, stuck):
    everything = set(stuck.values())
    assert ids_of(world.queue("--all")) == everything
    assert ids_of(world.queue("--sender", "alice@here.test")) == {stuck["busy"], stuck["dead"]}
    assert ids_of(world.queue("--recipient", "c@busy.test")) == {stuck["both"]}
    assert ids_of(world.queue("--domain", "dead.test")) == {stuck["dead"], stuck["both"]}
    assert ids_of(world.queue("--domain", "dead.test", "--sender", "bob@here.test")) == {
        stuck["both"]}
    assert ids_of(world.queue(stuck["busy"], stuck["both"])) == {stuck["busy"], stuck["both"]}
    assert world.queue("--sender", "nobody@here.test") == []
    assert ids_of(world.queue("--state", "deferred")) >= {stuck["busy"]}


def test_what_is_not_there_is_said_with_the_exit_status(world, stuck):
    assert world.tern("queue", "show", "00000000deadbeef").returncode == 1
    assert world.tern("queue", "delete", "--sender", "nobody@here.test").returncode == 1
    assert world.tern("queue", "hold", stuck["busy"]).returncode == 0
    for wrong in (("queue", "delete"), ("queue", "frobnicate", "--all"), ("queue", "show", "xyz"),
                  ("frobnicate",), ("queue", "list", "--state", "odd")):
        done = world.tern(*wrong)
        assert done.returncode == 2 and done.stderr.startswith(("tern: ", "usage: ")), wrong


def test_retry_tries_at_once(world, stuck):
    busy = world.sinks[0]
    busy.says.clear()
    assert world.tern("queue", "retry", stuck["busy"]).returncode == 0
    busy.wait(1)
    world.wait_queue(lambda rows: ids_of(rows) == {stuck["dead"], stuck["both"]})
    assert world.tern("queue", "retry", "--recipient", "c@busy.test").returncode == 0
    busy.wait(2)


def test_retry_overrides_the_back_off_of_a_destination(world):
    world.dns.mx("dead.test", (10, "mx.dead.test"))
    address = world.host("mx.dead.test")
    world.start_relay(retry=SLOW)
    message = world.send("alice@here.test", "b@dead.test")
    world.log.wait("destination_backed_off", destination="mx.dead.test")
    there = Sink(address)
    world.sinks.append(there)
    assert world.tern("queue", "retry", message).returncode == 0
    there.wait_message()
    world.wait_empty_queue()
    assert world.status()["backed_off"] == []


def test_hold_and_release(world, stuck):
    busy = world.sinks[0]
    held = world.tern("queue", "hold", "--sender", "alice@here.test", "--json")
    assert held.returncode == 0 and json.loads(held.stdout) == {"v": 1, "matched": 2}
    rows = {row["id"]: row["state"] for row in world.queue()}
    assert rows[stuck["busy"]] == rows[stuck["dead"]] == "held"
    assert ids_of(world.queue("--state", "held")) == {stuck["busy"], stuck["dead"]}
    busy.says.clear()
    world.tern("queue", "retry", stuck["both"])
    busy.wait(1)
    assert stuck["busy"] in ids_of(world.queue())
    assert world.tern("queue", "release", stuck["busy"]).returncode == 0
    world.tern("queue", "retry", stuck["busy"])
    busy.wait(2)
    assert {r["state"] for r in world.queue(stuck["dead"])} == {"held"}
    assert world.log.has("held", message=stuck["busy"])
    assert world.log.has("released", message=stuck["busy"])


def test_delete_by_id_sender_recipient_domain_and_all(world, stuck):
    assert world.tern("queue", "delete", stuck["busy"]).returncode == 0
    assert ids_of(world.queue()) == {stuck["dead"], stuck["both"]}
    assert world.tern("queue", "delete", "--sender", "bob@here.test").returncode == 0
    assert ids_of(world.queue()) == {stuck["dead"]}
    assert world.tern("queue", "delete", "--domain", "dead.test").returncode == 0
    assert world.queue() == []
    for box in ("alice", "bob"):
        assert world.mailbox(box).files() == []  # nobody is told
    assert world.log.has("deleted", message=stuck["dead"])


def test_delete_all_stays_deleted_over_a_restart(world, stuck):
    done = world.tern("queue", "delete", "--all")
    assert done.returncode == 0 and "3 messages" in done.stdout
    world.stop_relay()
    world.start_relay()
    assert world.queue() == []


def test_the_list_works_when_nothing_runs(world, stuck):
    world.tern("queue", "hold", stuck["dead"])
    before = {row["id"]: row for row in world.queue()}
    world.stop_relay()
    after = {row["id"]: row for row in world.queue()}
    assert set(after) == set(before)
    for message, row in after.items():
        for key in ("sender", "size", "arrived"):
            assert row[key] == before[message][key]
        assert {r["addr"] for r in row["rcpts"]} == {r["addr"] for r in before[message]["rcpts"]}
    assert after[stuck["dead"]]["state"] == "held"
    assert "come back later" in after[stuck["busy"]]["reason"]
    assert stuck["busy"] in world.tern("queue", "list").stdout
    done = world.tern("queue", "delete", "--all")
    assert done.returncode == 2 and "nothing runs" in done.stderr
    world.start_relay()
    assert len(world.queue()) == 3


def test_status_counts(world, stuck):
    status = world.status()
    assert status["running"] and status["messages"] == 3
    assert status["since_start"]["accepted"] == 3
    assert any(d["destination"] == "mx.dead.test" for d in status["backed_off"])
    assert {w["process"] for w in status["workers"]} == {"delivery", "local"}
    assert world.tern("status").returncode == 0


def test_a_stranger_may_look_but_not_touch(world, stuck):
    if not namespace.is_root():
        pytest.skip("needs root, to be somebody else")
    tern = [str(world.build / "tools" / "tern"), "--config", str(world.config_path)]
    done = world.run_as(33, tern + ["queue", "delete", "--all"])
    assert done.returncode == 2 and "permitted" in done.stderr
    assert len(world.queue()) == 3


def test_a_long_list_is_complete(world):
    world.dns.mx("dead.test", (10, "mx.dead.test"))
    world.host("mx.dead.test")
    world.start_relay(retry=SLOW, limits={"connections": 100})
    count = 1500
    with world.connect() as c:
        c.hello()
        for i in range(count):
            c.send(b"MAIL FROM:<a@here.test>\r\nRCPT TO:<b%d@dead.test>\r\nDATA\r\n" % i)
            assert [c.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
            c.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
            assert c.reply().startswith("250")
    rows = world.queue()
    assert len(rows) == count and len(ids_of(rows)) == count
    assert {row["rcpts"][0]["addr"] for row in rows} == {f"b{i}@dead.test" for i in range(count)}
    done = world.tern("queue", "delete", "--all", "--json")
    assert done.returncode == 0 and world.queue() == []


def test_odd_bytes_do_not_disturb_the_list(world):
    world.domain("busy.test", rcpt="451 4.2.0 \x1b[2Jcleared \"quoted\" \\ \xff")
    world.start_relay(retry=SLOW)
    world.send('"a b"@here.test', "b@busy.test")
    rows = [world.wait_deferred()]
    assert "cleared" in rows[0]["reason"] and rows[0]["sender"] == '"a b"@here.test'
    text = world.tern("queue", "list").stdout
    assert "\x1b" not in text
    assert json.dumps(rows)
    assert ids_of(world.queue("--sender", '"a b"@here.test')) == {rows[0]["id"]}


def test_cat_gives_the_message_as_it_is_sent(world):
    text = "Subject: odd\r\n\r\n.dot\r\n\r\nlast line \xe4\r\n".encode("latin-1")
    big = b"Subject: big\r\n\r\n" + b"0123456789abcde\r\n" * 40000
    sink = world.domain("busy.test", rcpt="451 4.2.0 come back later")
    world.start_relay(retry=SLOW)
    ids = {world.send("alice@here.test", "b@busy.test", content): content
           for content in (text, big)}
    world.wait_queue(lambda rows: len(rows) == 2 and all(r["attempts"] == 1 for r in rows))
    running = {message: world.cat(message) for message in ids}
    for message, content in ids.items():
        assert running[message].startswith(b"Received: from client.test")
        assert running[message].endswith(content)
    for wrong in (("cat",), ("cat", *ids), ("cat", "--all")):
        assert world.tern("queue", *wrong).returncode == 2
    assert world.tern("queue", "cat", "00000000deadbeef").returncode == 1
    world.stop_relay()
    assert {message: world.cat(message) for message in ids} == running
    world.start_relay()
    sink.says.clear()
    world.tern("queue", "retry", "--all")
    sink.wait(2)
    assert {m.content for m in sink.messages} == set(running.values())


def test_cat_does_not_disturb_a_terminal(world):
    world.domain("busy.test", rcpt="451 4.2.0 come back later")
    world.start_relay(retry=SLOW)
    message = world.send("a@here.test", "b@busy.test", b"\x1b[2J \xc2\x9b2J caf\xc3\xa9\r\n")
    mine, its = pty.openpty()
    subprocess.run([str(world.build / "tools" / "tern"), "--config", str(world.config_path), "queue",
                    "cat", message], stdout=its, check=True)
    shown = os.read(mine, 65536)
    os.close(mine)
    os.close(its)
    assert b"?[2J \xc2?2J caf\xc3\xa9" in shown and b"\x1b" not in shown


def test_a_stranger_may_not_read_messages(world, stuck):
    if not namespace.is_root():
        pytest.skip("needs root, to be somebody else")
    tern = [str(world.build / "tools" / "tern"), "--config", str(world.config_path)]
    done = world.run_as(33, tern + ["queue", "cat", stuck["busy"]])
    assert done.returncode == 2 and "permitted" in done.stderr and done.stdout == ""


def test_what_was_exported_can_be_imported(world):
    big = b"Subject: big\r\n\r\n" + b"0123456789abcde\r\n" * 40000
    sink = world.domain("busy.test", rcpt={"done@busy.test": "250 ok",
                                           "late@busy.test": "451 4.2.0 come back later"})
    world.start_relay(retry=SLOW)
    both = world.send('"a%b"@here.test', ["done@busy.test", "late@busy.test"])
    held = world.send("bob@here.test", "late@busy.test", big)
    world.wait_queue(lambda rows: len(rows) == 2 and all(
        r["attempts"] == 1 and r["state"] == "deferred" for r in rows))
    sink.wait(1)
    world.tern("queue", "hold", held)
    content = {message: world.cat(message) for message in (both, held)}
    folder = world.folder / "exported"
    done = world.tern("queue", "export", "--all", str(folder))
    assert done.returncode == 0 and "2 messages" in done.stdout, done.stderr
    assert {f.name for f in folder.iterdir()} == {
        m + ending for m in (both, held) for ending in (".eml", ".envelope")}
    assert all((folder / f"{m}.eml").read_bytes() == content[m] for m in (both, held))
    envelope = (folder / f"{both}.envelope").read_text().splitlines()
    assert 'from="a%25b"@here.test' in envelope and "rcpt=late@busy.test" in envelope
    assert "rcpt=done@busy.test" not in envelope
    # Nothing is overwritten.
    again = world.tern("queue", "export", both, str(folder))
    assert again.returncode == 2 and "exists" in again.stderr
    assert world.tern("queue", "delete", "--all").returncode == 0

    done = world.tern("queue", "import", str(folder))
    assert done.returncode == 0 and "2 messages" in done.stdout, done.stderr
    new = dict(line.split() for line in done.stdout.splitlines() if "  " in line)
    assert set(new) == {both, held} and not set(new.values()) & {both, held}
    world.kill()  # what was said to be imported is durable
    world.deaths_are_expected = True
    sink.says.clear()
    world.start_relay()
    assert world.cat(new[held]) == content[held]
    assert world.show(new[held])["state"] == "held"
    world.tern("queue", "retry", new[both])
    late = [m for m in sink.wait(2) if m.recipients == ["late@busy.test"]]
    assert [m.content for m in late] == [content[both]] and late[0].sender == '"a%b"@here.test'
    assert ids_of(world.queue()) == {new[held]}
    # A second run finds nothing that is left to do.
    assert world.tern("queue", "import", str(folder)).returncode == 1
    world.stop_relay()
    (folder / f"{both}.imported").rename(folder / f"{both}.envelope")
    done = world.tern("queue", "import", str(folder))
    assert done.returncode == 2 and "nothing runs" in done.stderr


def test_export_works_when_nothing_runs(world, stuck):
    world.stop_relay()
    folder = world.folder / "exported"
    assert world.tern("queue", "export", "--domain", "dead.test", str(folder)).returncode == 0
    assert {f.stem for f in folder.iterdir()} == {stuck["dead"], stuck["both"]}
    world.start_relay()


def test_import_refuses_what_is_not_mail(world):
    world.start_relay()
    folder = world.folder / "odd"
    folder.mkdir()
    fine = "from=\nrcpt=alice@here.test\narrival=1\n"
    for name, envelope, content in (
            ("nul", fine, b"Subject: x\r\n\r\na\0b\r\n"), ("cr", fine, b"Subject: x\r\n\r\na\rb\r\n"),
            ("empty", fine, b""), ("nobody", "from=\narrival=1\n", b"Subject: x\r\n"),
            ("lines", "rcpt alice\n", b"Subject: x\r\n"), ("alone", fine, None),
            ("unix", fine, b"Subject: unix\n\nr\xe9sum\xe9\n\nno line end")):
        (folder / f"{name}.envelope").write_text(envelope)
        if content is not None:
            (folder / f"{name}.eml").write_bytes(content)
    done = world.tern("queue", "import", str(folder))
    assert done.returncode == 2 and "import: 1 message\n" in done.stdout
    for name in ("nul", "cr", "empty", "nobody", "lines", "alone"):
        assert f"/{name}: " in done.stderr
    assert world.mailbox("alice").wait_message().endswith(
        b"Subject: unix\n\nr\xe9sum\xe9\n\nno line end\n")
    assert (folder / "unix.imported").exists() and (folder / "nul.envelope").exists()


def test_an_export_that_finds_no_room_leaves_nothing(world, stuck):
    if not namespace.is_root():
        pytest.skip("needs root, to mount a small disk")
    message = world.send("alice@here.test", "b@busy.test", b"x" * 70 + b"\r\n" + b"y" * 900 * 5 + b"\r\n")
    folder = world.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(folder)], check=True)
    try:
        done = world.tern("queue", "export", message, str(folder))
        assert done.returncode == 2 and "its envelope cannot be written" in done.stderr
        assert list(folder.iterdir()) == []
        subprocess.run(["mount", "-o", "remount,size=1m", str(folder)], check=True)
        assert world.tern("queue", "export", message, str(folder)).returncode == 0
        assert (folder / f"{message}.envelope").exists()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_what_the_queue_has_is_marked_whatever_happens_then(world):
    """A queue that ends as soon as it has said the id."""
    folder = world.folder / "mail"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.envelope").write_text("from=\nrcpt=alice@here.test\narrival=1\n")
        (folder / f"{name}.eml").write_bytes(b"Subject: x\r\n\r\nx\r\n")
    world.start_relay()
    world.stop_relay()
    path = world.folder / "run" / "control"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer():
            peer, _ = listener.accept()
            with peer:
                asked = peer.makefile("rb").readline()
                peer.sendall(b'{"ready":true}\n')
                size = sum(int(re.search(rf"{key}=(\d+)", asked.decode())[1]) for key in ("envelope", "size"))
                while size > 0:
                    size -= len(peer.recv(size))
                peer.sendall(b'{"id":"00000001a200f3c0"}\n')

        thread = threading.Thread(target=answer)
        thread.start()
        done = world.tern("queue", "import", str(folder))
        thread.join()
    path.unlink()
    assert done.returncode == 2 and "a  00000001a200f3c0\n" in done.stdout
    assert (folder / "a.imported").exists() and not (folder / "a.envelope").exists()
    assert (folder / "b.envelope").exists()


def test_what_was_deleted_can_be_brought_back(world, stuck):
    busy = world.sinks[0]
    world.tern("queue", "delete", stuck["busy"], stuck["both"])
    assert ids_of(world.queue()) == {stuck["dead"]} and world.status()["deleted"] == 2
    assert ids_of(world.queue("--state", "deleted")) == {stuck["busy"], stuck["both"]}
    assert world.cat(stuck["busy"]).endswith(b"hello\r\n")
    for verb in ("retry", "hold", "release", "delete"):
        assert world.tern("queue", verb, stuck["busy"]).returncode == 1
    assert world.tern("queue", "undelete", stuck["dead"]).returncode == 1
    world.stop_relay()
    assert ids_of(world.queue()) == {stuck["dead"]}
    assert ids_of(world.queue("--state", "deleted")) == {stuck["busy"], stuck["both"]}
    world.start_relay()
    busy.says.clear()
    assert world.tern("queue", "undelete", stuck["busy"]).returncode == 0
    assert world.queue(stuck["busy"])[0]["state"] == "held"
    world.tern("queue", "release", stuck["busy"])
    busy.wait(1)
    assert world.tern("queue", "delete", "--state", "deleted").returncode == 0
    assert world.queue("--state", "deleted") == []
    assert world.tern("queue", "undelete", stuck["both"]).returncode == 1
