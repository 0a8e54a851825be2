"""What the sender is told when mail does not arrive."""
import email
import email.policy

import pytest

from sink import CLOSE
from world import wait_for

QUICK = {"first": "1s", "factor": "1", "longest": "1s", "jitter": 0}
LETTER = (b"From: alice@here.test\r\nTo: b@there.test\r\nSubject: the subject\r\n"
          b"Message-ID: <original@here.test>\r\n\r\nthe body\r\n")


def read_report(content):
    """(the whole, [per-message fields, per-recipient fields ...], the original's header)"""
    m = email.message_from_bytes(content, policy=email.policy.default)
    assert m.get_content_type() == "multipart/report"
    assert m.get_param("report-type") == "delivery-status"
    parts = list(m.iter_parts())
    assert len(parts) == 3 and not m.defects, m.defects
    assert parts[0].get_content_type() == "text/plain"
    assert parts[1].get_content_type() == "message/delivery-status"
    assert parts[2].get_content_type() in ("message/rfc822", "text/rfc822-headers")
    for fields in parts[1].get_payload():
        for name, value in fields.items():
            fields.replace_header(name, " ".join(value.split()))
    return m, parts[1].get_payload(), parts[2]


def bounce(world, box="alice"):
    world.wait_empty_queue()
    contents = world.mailbox(box).wait()
    assert len(contents) == 1
    return read_report(contents[0])


def test_a_refused_recipient_is_reported_as_rfc_3464_says(world):
    world.domain("there.test", rcpt="550 5.1.1 No such user here")
    world.start_relay()
    message = world.send("alice@here.test", "b@there.test", LETTER)
    m, (whole, rcpt), original = bounce(world)
    assert m["Return-Path"] == "<>" and m["To"].addresses[0].addr_spec == "alice@here.test"
    assert m["Auto-Submitted"] == "auto-replied"
    assert m["References"] == "<original@here.test>"
    assert m["Date"] and m["Message-ID"] and m["From"].addresses[0].username == "MAILER-DAEMON"
    assert whole["Reporting-MTA"] == "dns; " + world.settings["hostname"]
    assert whole["Arrival-Date"]
    assert rcpt["Final-Recipient"] == "rfc822; b@there.test"
    assert rcpt["Action"] == "failed" and rcpt["Status"] == "5.1.1"
    assert "mx.there.test" in rcpt["Remote-MTA"]
    assert rcpt["Diagnostic-Code"].startswith("smtp; 550 5.1.1 No such user here")
    text = next(m.iter_parts()).get_content()
    assert "b@there.test" in text and "No such user here" in text
    assert "Subject: the subject" in original.as_string()
    line = world.log.wait("bounced", message=message)
    assert line["recipient"] == "b@there.test" and line["code"] == "550"
    notice = world.log.wait("notice_queued", message=message)
    assert notice["kind"] == "failure" and notice["to"] == "alice@here.test"


def test_only_the_recipients_that_failed_are_in_the_one_bounce(world):
    there = world.domain("there.test", rcpt={
        "bad1@there.test": "550 5.1.1 no", "bad2@there.test": "550 5.1.1 no"})
    world.start_relay()
    world.send("alice@here.test",
               ["good1@there.test", "bad1@there.test", "good2@there.test", "bad2@there.test"])
    assert there.wait_message().recipients == ["good1@there.test", "good2@there.test"]
    _, (_, *rcpts), _ = bounce(world)
    assert sorted(r["Final-Recipient"] for r in rcpts) == \
        ["rfc822; bad1@there.test", "rfc822; bad2@there.test"]


@pytest.mark.parametrize("phase", ["mail", "data", "final"])
def test_a_message_that_is_refused_as_a_whole_bounces(world, phase):
    world.domain("there.test", **{phase: "554 5.7.1 not with us"})
    world.start_relay()
    world.send("alice@here.test", ["b@there.test", "c@there.test"])
    _, (_, *rcpts), _ = bounce(world)
    assert {r["Final-Recipient"] for r in rcpts} == {"rfc822; b@there.test", "rfc822; c@there.test"}
    assert all(r["Status"] == "5.7.1" for r in rcpts)


def test_a_message_that_is_larger_than_the_remote_takes_is_not_sent(world):
    there = world.domain("there.test", extensions=["SIZE 1000"])
    world.start_relay()
    world.send("alice@here.test", "b@there.test", LETTER + b"x" * 70 * 100 + b"\r\n")
    _, (_, rcpt), _ = bounce(world)
    assert rcpt["Status"] == "5.3.4"
    assert not any(c.startswith("DATA") for c in there.commands)


def test_a_null_reverse_path_gets_no_bounce(world):
    world.domain("there.test", rcpt="550 5.1.1 no")
    world.start_relay()
    message = world.send("", "b@there.test")
    world.log.wait("failed", message=message)
    world.wait_empty_queue()
    assert not world.log.has("notice_queued") and len(world.log.find("message_accepted")) == 1


def test_a_bounce_that_bounces_is_the_end(world):
    world.domain("there.test", rcpt="550 5.1.1 no")
    world.domain("origin.test", rcpt="550 5.1.1 no such sender")
    world.start_relay()
    world.send("x@origin.test", "b@there.test")
    world.log.wait("failed", recipient="x@origin.test")
    world.wait_empty_queue()
    assert len(world.log.find("notice_queued")) == 1


def test_a_bounce_goes_to_a_remote_sender(world):
    world.domain("there.test", rcpt="550 5.1.1 no")
    origin = world.domain("origin.test")
    world.start_relay()
    world.send("x@origin.test", "b@there.test", LETTER)
    message = origin.wait_message()
    assert message.sender == "" and message.recipients == ["x@origin.test"]
    read_report(message.content)


def test_hostile_words_of_a_remote_stay_in_their_place(world):
    world.domain("there.test",
                 rcpt="550-5.1.1 one\r\n550-Subject: injected\x01\xff\r\n550 \x1b[31mred " + "x" * 300)
    world.start_relay()
    world.send("alice@here.test", "b@there.test")
    m, (_, rcpt), _ = bounce(world)
    assert "injected" not in str(m["Subject"])
    assert rcpt["Status"] == "5.1.1"
    content = world.mailbox("alice").messages()[0]
    assert b"\x1b" not in content and b"\xff" not in content
    assert all(len(line) <= 998 for line in content.split(b"\n"))


def test_a_delay_notice_is_sent_once(world):
    there = world.domain("there.test", rcpt="451 4.2.0 greylisted")
    world.start_relay(retry={**QUICK, "notice": "2s"})
    message = world.send("alice@here.test", "b@there.test", LETTER)
    world.mailbox("alice").wait()
    m, (_, rcpt), _ = read_report(world.mailbox("alice").messages()[0])
    assert rcpt["Action"] == "delayed" and rcpt["Will-Retry-Until"]
    assert rcpt["Status"].startswith("4.")
    assert "delayed" in m["Subject"]
    attempts = len(world.log.find("deferred", message=message))
    world.log.wait("deferred", message=message, count=attempts + 2)
    assert len(world.mailbox("alice").files()) == 1
    there.says.clear()
    there.wait_message()


def test_mail_that_nobody_takes_goes_back_when_its_time_is_over(world):
    world.domain("there.test", rcpt="451 4.2.0 never now")
    world.start_relay(retry={**QUICK, "lifetime": "3s", "notice": "0s"})
    message = world.send("alice@here.test", "b@there.test")
    _, (_, rcpt), _ = bounce(world)
    assert rcpt["Action"] == "failed"
    assert "never now" in rcpt["Diagnostic-Code"]
    assert world.log.has("expired", message=message)
    assert len(world.log.find("deferred", message=message)) >= 1


def test_mail_to_a_dead_host_goes_back_when_its_time_is_over(world):
    world.dns.mx("there.test", (10, "mx.there.test"))
    world.host("mx.there.test")
    world.start_relay(retry={**QUICK, "lifetime": "3s", "notice": "0s"})
    world.send("alice@here.test", "b@there.test")
    m, (_, rcpt), _ = bounce(world)
    assert "refused" in next(m.iter_parts()).get_content().lower()
    assert rcpt["Action"] == "failed"


def test_a_retry_after_451_succeeds(world):
    there = world.domain("there.test", rcpt=["451 4.7.1 greylisted", "250 2.1.5 ok"])
    world.start_relay(retry=QUICK)
    message = world.send("alice@here.test", "b@there.test")
    there.wait_message()
    line = world.log.wait("deferred", message=message)
    assert line["code"] == "451" and "greylisted" in line["reason"]
    assert world.log.wait("delivered", message=message)["attempts"] == "2"
    world.wait_empty_queue()
    assert len(there.messages) == 1 and world.mailbox("alice").files() == []


def test_only_the_recipients_that_were_deferred_are_tried_again(world):
    there = world.domain("there.test", rcpt={
        "slow@there.test": ["451 4.2.0 later", "250 ok"], "bad@there.test": "550 5.1.1 no"})
    world.start_relay(retry=QUICK)
    world.send("alice@here.test", ["good@there.test", "slow@there.test", "bad@there.test"])
    messages = there.wait(2)
    assert [m.recipients for m in messages] == [["good@there.test"], ["slow@there.test"]]
    _, (_, *rcpts), _ = bounce(world)
    assert [r["Final-Recipient"] for r in rcpts] == ["rfc822; bad@there.test"]


@pytest.mark.parametrize("words", [CLOSE, "what?", "25", "250-unfinished\r\n251 other", "999 odd",
                                   "3"], ids=repr)
def test_a_malformed_answer_to_the_dot_is_no_success(world, words):
    there = world.domain("there.test", final=[words, "250 ok"])
    world.start_relay(retry=QUICK)
    message = world.send("alice@here.test", "b@there.test")
    wait_for(lambda: world.log.has("deferred", message=message)
             or world.log.has("destination_backed_off"), "a deferral")
    world.log.wait("delivered", message=message)
    world.wait_empty_queue()
    assert there.attempts >= 2
