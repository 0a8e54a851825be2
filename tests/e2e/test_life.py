"""Start, reload, drain, and processes that die."""
import json
import os
import re
import resource
import signal
import smtplib
import ssl
import stat
import threading
import time
from pathlib import Path

import pytest

from sink import SILENT
from world import is_alive, make_certificate, wait_for

QUICK = {"first": "1s", "factor": "1", "longest": "1s", "jitter": 0}
SLOW = {"first": "1h", "longest": "4h", "jitter": 0}
LETTER = b"Subject: x\r\n\r\nx\r\n"
ROLES = ["smtpd", "queue", "delivery", "dns", "local", "keys"]


def processes(world):
    return {role: world.pids_of(role) for role in ROLES}


def test_every_role_is_locked_in(world):
    world.start_relay()
    mine = os.geteuid()
    for pid in [world.master.pid, *world.children()]:
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(re.findall(r"^(\w+):\t(.*)$", status, re.M))
        who = fields["Name"]
        assert fields["Seccomp"] == "2", who
        assert fields["NoNewPrivs"] == "1", who
        if pid != world.master.pid:
            assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0, who
            uids = set(map(int, fields["Uid"].split()))
            assert 0 not in uids if mine == 0 else uids == {mine}, who
    assert all(processes(world).values())


def test_the_spool_is_closed_to_others(world):
    world.start_relay()
    assert stat.S_IMODE(world.spool.stat().st_mode) == 0o700


def test_a_restart_keeps_queued_mail(world):
    there = world.domain("there.test", greet="421 4.3.2 not yet")
    world.start_relay(retry=SLOW)
    big = b"Subject: big\r\n\r\n" + b"0123456789abcde\r\n" * 40000
    ids = {world.send("alice@here.test", "b@there.test", c) for c in (LETTER, big)}
    world.log.wait("destination_backed_off", destination="mx.there.test")
    world.stop_relay()
    world.start_relay()
    assert {row["id"] for row in world.queue()} == ids
    there.says.clear()
    world.tern("queue", "retry", "--all")
    bodies = [m.content.partition(b"\r\n\r\n")[2] for m in there.wait(2)]
    assert sorted(map(len, bodies)) == [3, 40000 * 17]
    world.wait_empty_queue()
    world.stop_relay()
    world.start_relay()
    assert world.queue() == []
    assert len(there.messages) == 2


def test_attempts_and_schedule_outlive_a_restart(world):
    world.domain("there.test", rcpt="451 4.2.0 later")
    world.start_relay(retry=SLOW)
    message = world.send("alice@here.test", "b@there.test")
    world.log.wait("deferred", message=message)
    before = world.show(message)
    world.stop_relay()
    world.start_relay()
    after = world.show(message)
    assert after["attempts"] == before["attempts"] == 1
    assert after["next_at"][:15] == before["next_at"][:15]
    assert after["expires_at"][:15] == before["expires_at"][:15]


def test_a_reload_keeps_open_sessions_and_takes_the_new_settings(world):
    world.start_relay()
    with world.connect() as c:
        c.hello()
        c.begin("a@here.test", "alice@here.test")
        c.send(b"Subject: x\r\n\r\nbefore\r\n")
        world.configure(mailboxes={"carol@here.test": "carol"})
        world.reload()
        assert world.log.has("reloaded")
        c.send(b"after\r\n.\r\n")
        assert c.reply().startswith("250")
        assert b"before\nafter\n" in world.mailbox("alice").wait_message()
        c.begin("a@here.test", "alice@here.test")
        c.send(LETTER + b".\r\n")
        assert c.reply().startswith("250")
        assert c.command("QUIT").startswith("221")
    world.send("a@here.test", "carol@here.test")
    world.mailbox("carol").wait_message()
    wait_for(lambda: len(world.pids_of("dns")) == 1, "the old processes to end")


def test_an_idle_session_outlives_reloads_and_ends_with_sigterm(world):
    world.start_relay()
    with world.connect() as c:
        c.hello()
        world.reload()
        world.reload()
        assert c.command("NOOP").startswith("250")
        world.master.send_signal(signal.SIGTERM)
        assert c.reply().startswith("421")
    assert world.master.wait(90) == 0


def test_a_reload_changes_listeners_and_routes(world):
    old = world.domain("there.test")
    new = world.sink("new.test")
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    old.wait_message()
    world.configure(listen=[{"address": "127.0.0.1:2525"}, {"address": "127.0.0.1:2626"}],
                    routes=[{"domain": "there.test", "via": "smtp://new.test"}])
    world.reload()
    world.send("a@here.test", "b@there.test", port=2626)
    new.wait_message()
    def closed():
        try:
            world.connect(25).close()
            return False
        except ConnectionRefusedError:
            return True
    wait_for(closed, "port 25 to be closed")


def test_mail_that_waits_takes_a_new_route_after_a_reload(world):
    world.domain("there.test", greet="421 4.3.2 busy")
    new = world.sink("new.test")
    world.start_relay(retry=SLOW)
    world.send("a@here.test", "b@there.test")
    world.log.wait("destination_backed_off", destination="mx.there.test")
    world.configure(routes=[{"domain": "there.test", "via": "smtp://new.test"}])
    world.reload()
    world.tern("queue", "retry", "--all")
    new.wait_message()


def test_a_broken_configuration_changes_nothing_and_the_status_says_so(world):
    world.start_relay()
    pids = processes(world)
    good = dict(world.settings)
    world.configure(hostnam="odd")
    world.reload()
    assert world.log.has("reload_failed")
    assert processes(world) == pids
    world.send("a@here.test", "alice@here.test")
    settings = world.status()["settings"]
    assert settings["reload_ok"] is False and "mistake" in settings["reload_error"]
    world.settings = good
    world.reload()
    assert world.log.has("reloaded")
    assert world.status()["settings"]["reload_ok"] is True


@pytest.mark.parametrize("change", ["port", "key", "spool", "sizes"])
def test_a_reload_that_cannot_be_done_changes_nothing(world, change):
    world.start_relay()
    if change == "port":
        world.sink("near.test", address="127.0.0.1", port=2626)
        world.configure(listen=world.settings["listen"] + [{"address": "127.0.0.1:2626"}])
    elif change == "key":
        world.configure(tls={"key": str(world.folder / "missing.key")})
    elif change == "sizes":
        world.configure(spool={"segment": "64M", "big-body": "3M"})
    else:
        world.configure(spool={"path": str(world.folder / "other")})
    world.reload()
    reason = world.log.wait("reload_failed")["reason"]
    if change in ("spool", "sizes"):
        assert re.match(rf"{re.escape(str(world.config_path))}:\d+: spool\.\w+ cannot change", reason)
    world.send("a@here.test", "alice@here.test", b"Subject: x\r\n\r\n" + 75000 * (70 * b"x" + b"\r\n"))
    world.mailbox("alice").wait_message()


def peer_certificate(port):
    return ssl.get_server_certificate(("127.0.0.1", port))


def test_a_reload_takes_the_new_certificate(world):
    world.start_relay()
    old = peer_certificate(465)
    with smtplib.SMTP_SSL("127.0.0.1", 465, context=ssl._create_unverified_context()) as session:
        certificate, key = make_certificate(world.folder, "renewed.test")
        os.replace(certificate, world.settings["tls"]["certificate"])
        os.replace(key, world.settings["tls"]["key"])
        world.reload()
        wait_for(lambda: peer_certificate(465) != old, "the new certificate")
        session.sendmail("a@here.test", ["alice@here.test"], LETTER)
    world.mailbox("alice").wait_message()


def test_reloads_that_follow_each_other_settle(world):
    world.start_relay()
    for _ in range(10):
        os.kill(world.master.pid, signal.SIGHUP)
    world.log.wait("reloaded")
    wait_for(lambda: len(world.pids_of("dns")) == 1 and len(world.pids_of("delivery")) == 1,
             lambda: f"one generation, there is {processes(world)}")
    world.send("a@here.test", "alice@here.test")
    world.mailbox("alice").wait_message()


def test_a_process_that_waits_to_be_started_again_is_not_started_beside_its_successor(world):
    world.deaths_are_expected = True
    world.start_relay()
    for deaths in range(1, 6):  # each makes the pause before the next start longer
        wait_for(lambda: world.pids_of("delivery"), "delivery to be back")
        os.kill(world.pids_of("delivery")[0], signal.SIGKILL)
        world.log.wait("process_died", count=deaths, kind="delivery")
    starts = len(world.log.find("process_ready", kind="delivery"))
    world.reload()
    time.sleep(4)
    assert len(world.pids_of("delivery")) == 1
    assert len(world.log.find("process_ready", kind="delivery")) == starts + 1


def test_a_reload_that_fails_is_followed_by_the_next_one(world):
    world.start_relay()
    certificate = Path(world.settings["tls"]["certificate"])
    good = certificate.read_bytes()
    world.deaths_are_expected = True
    for _ in range(5):
        certificate.write_bytes(b"no certificate")
        before = len(world.log.find("reloaded"))
        world.master.send_signal(signal.SIGHUP)
        wait_for(lambda: len(world.pids_of("dns")) > 1 or world.log.has("reload_failed"),
                 "the next generation")
        certificate.write_bytes(good)
        world.master.send_signal(signal.SIGHUP)
        world.log.wait("reloaded", count=before + 1)


def test_a_process_that_could_not_be_started_is_tried_again(world):
    world.deaths_are_expected = True
    world.start_relay()
    master = world.master.pid
    soft, hard = resource.prlimit(master, resource.RLIMIT_NOFILE)
    resource.prlimit(master, resource.RLIMIT_NOFILE, (3, hard))
    os.kill(world.pids_of("queue")[0], signal.SIGKILL)
    world.log.wait("process_start_failed", kind="queue")
    resource.prlimit(master, resource.RLIMIT_NOFILE, (soft, hard))
    wait_for(lambda: world.pids_of("queue"), "the queue to be back")
    wait_for(lambda: world.tern("status").returncode == 0, "the queue to answer")


def test_what_arrived_without_a_record_is_called_a_possible_duplicate(world):
    world.deaths_are_expected = True
    there = world.domain("there.test")
    world.domain("later.test", rcpt="451 4.2.0 later")
    world.start_relay(retry=SLOW)
    waits = world.send("alice@here.test", "b@later.test")
    world.log.wait("deferred", message=waits)
    queue = world.pids_of("queue")[0]

    def taken(_):
        os.kill(queue, signal.SIGSTOP)
        return "250 2.0.0 taken"
    there.says["final"] = taken
    message = world.send("alice@here.test", "b@there.test")
    there.wait(1)
    del there.says["final"]
    os.kill(queue, signal.SIGKILL)
    there.wait(2)
    world.log.wait("possible_duplicate", message=message, destination="there.test")
    world.log.wait("delivered", message=message)
    world.stop_relay()
    world.start_relay()
    world.tern("queue", "retry", "--all")
    world.log.wait("deferred", count=2, message=waits)
    assert len(world.log.find("possible_duplicate")) == 1


def test_no_mail_is_lost_or_doubled_while_reloading(world):
    there = world.domain("there.test")
    world.start_relay()
    failures = []

    def submit(number):
        try:
            for i in range(40):
                world.send("a@here.test", ["b@there.test", "alice@here.test"],
                           b"Subject: %d.%d\r\n\r\nx\r\n" % (number, i))
        except Exception as e:  # reported below
            failures.append(e)
    threads = [threading.Thread(target=submit, args=(n,)) for n in range(3)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        world.reload()
    for t in threads:
        t.join()
    assert failures == []
    remote = [re.search(rb"Subject: (\S+)", m.content)[1] for m in there.wait(120)]
    local = [re.search(rb"Subject: (\S+)", m)[1] for m in world.mailbox("alice").wait(120)]
    world.wait_empty_queue()
    assert len(set(remote)) == len(there.messages) == 120
    assert len(set(local)) == len(world.mailbox("alice").files()) == 120


def test_sigterm_lets_a_running_transaction_end(world):
    world.start_relay()
    with world.connect() as busy, world.connect() as idle:
        idle.hello()
        busy.hello()
        busy.begin("a@here.test", "alice@here.test")
        busy.send(b"Subject: x\r\n\r\nx\r\n")
        world.master.send_signal(signal.SIGTERM)
        assert idle.reply().startswith("421")

        def refused():
            try:
                with world.connect() as c:
                    return not c.reply().startswith("220")
            except OSError:
                return True
        wait_for(refused, "new connections to be refused")
        busy.send(b".\r\n")
        assert busy.reply().startswith("250")
    assert world.master.wait(90) == 0
    world.start_relay()
    world.mailbox("alice").wait_message()


def test_sigterm_lets_a_running_delivery_end(world):
    entered, leave = threading.Event(), threading.Event()

    def final(_):
        entered.set()
        leave.wait(90)
        return "250 ok"
    there = world.domain("there.test", final=final)
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    assert entered.wait(90)
    world.master.send_signal(signal.SIGTERM)
    world.log.wait("draining")
    leave.set()
    assert world.master.wait(90) == 0
    assert len(there.messages) == 1
    world.start_relay()
    assert world.queue() == [] and len(there.messages) == 1


def test_sigterm_does_not_wait_longer_than_it_may(world):
    world.domain("there.test", final=SILENT)
    world.start_relay(timeouts={"drain": "1s"})
    world.send("a@here.test", "b@there.test")
    world.sinks[0].wait_until(lambda: "DATA" in world.sinks[0].commands)
    with world.connect() as c:
        c.hello()
        c.begin("a@here.test", "alice@here.test")
        world.master.send_signal(signal.SIGTERM)
        assert world.master.wait(90) == 0
        assert not c.reply().startswith("2")
    world.start_relay()
    assert len(world.queue()) == 1


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_process_is_started_again_and_mail_flows(world, role):
    world.deaths_are_expected = True
    there = world.domain("there.test")
    world.start_relay(retry=QUICK)
    world.send("a@here.test", ["b@there.test", "alice@here.test"])
    there.wait(1)
    world.mailbox("alice").wait(1)
    before = world.pids_of(role)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    world.log.wait("process_died", kind=role, count=len(before))

    def back():
        now = world.pids_of(role)
        return len(now) == len(before) and not set(now) & set(before)
    wait_for(back, f"{role} to be back: {world.log.text()}")

    def sent():
        try:
            return world.send("a@here.test", ["b@there.test", "alice@here.test"])
        except (AssertionError, OSError, smtplib.SMTPException):
            return None
    wait_for(sent, "mail to be taken")
    there.wait(2)
    world.mailbox("alice").wait(2)
    world.wait_empty_queue()


def test_mail_under_way_is_not_lost_with_its_delivery_process(world):
    world.deaths_are_expected = True
    there = world.domain("there.test", final=[SILENT, "250 ok"])
    world.start_relay(retry=QUICK)
    message = world.send("a@here.test", "b@there.test")
    wait_for(lambda: len(there.says["final"]) == 1, "the final dot")
    os.kill(world.pids_of("delivery")[0], signal.SIGKILL)
    world.log.wait("job_lost", message=message)
    there.wait_message()
    world.wait_empty_queue()


def test_sessions_survive_the_queue(world):
    world.deaths_are_expected = True
    world.start_relay()
    with world.connect() as c:
        c.hello()
        os.kill(world.pids_of("queue")[0], signal.SIGKILL)
        world.log.wait("process_died", kind="queue")
        wait_for(lambda: world.pids_of("queue"), "the queue to be back")

        def accepted():
            words = c.command("MAIL FROM:<a@here.test>")
            if not words.startswith("250"):
                return False
            c.command("RCPT TO:<alice@here.test>")
            words = c.command("DATA")
            if not words.startswith("354"):
                c.command("RSET")
                return False
            c.send(LETTER + b".\r\n")
            return c.reply().startswith("250")
        wait_for(accepted, "mail to be taken again")
    world.mailbox("alice").wait_message()


def test_nothing_of_tern_is_left_when_the_master_is_killed(world):
    world.start_relay()
    children = world.children()
    world.master.kill()
    world.master.wait()
    wait_for(lambda: not any(map(is_alive, children)), "the children to end")
    world.start_relay()
    world.send("a@here.test", "alice@here.test")
    world.mailbox("alice").wait_message()


def test_the_log_can_be_json(world):
    world.configure(log={"format": "json"})
    world.launch()
    wait_for(lambda: '"event":"ready"' in world.log.text(), "the relay to be ready")
    world.send("a@here.test", "alice@here.test")
    world.mailbox("alice").wait_message()
    wait_for(lambda: '"event":"delivered"' in world.log.text(), "the delivery in the log")
    lines = [json.loads(line) for line in world.log.text().splitlines()]
    assert {"message_accepted", "delivered"} <= {line["event"] for line in lines}
