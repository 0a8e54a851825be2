"""tern explain says what really happens, and by which line."""
import json
import re

RULES = [
    {"name": "blocked", "client": "127.0.0.66", "then": "refuse"},
    {"name": "spam", "sender": "@spam.test", "then": "refuse 550 5.7.1 Not from there"},
    {"name": "runaway", "helo": "/(?:a*)*[bc]/", "then": "refuse"},
    {"name": "header", "header": {"X-Hold": "*"}, "then": "hold"},
    {"name": "bulk", "sender": "@list.test", "then": ["tag bulk", "route smart"]},
]


def explain(world, *words):
    done = world.tern("explain", *words, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def steps(answer):
    return {step["step"]: step for step in answer["steps"]}


def line_of(world, step):
    """The configuration from the line on that a step names."""
    path, number = step["origin"].rsplit(":", 1)
    assert path == str(world.config_path)
    return " ".join(world.config_path.read_text().splitlines()[int(number) - 1:int(number) + 3])


def start(world):
    world.start_relay(rules=RULES, routes=[
        {"name": "smart", "via": "smtp://smart.test", "tls": "encrypt"}],
        aliases={"team@here.test": ["alice@here.test", "bob@there.test"]})


def replies(world, sender, recipient, source):
    """What a client is told: of MAIL, or RCPT."""
    with world.connect(source=source) as c:
        words = c.reply()
        if words.startswith("220"):
            words = c.command("EHLO client.test")
        if words.startswith("250"):
            words = c.command(f"MAIL FROM:<{sender}>")
        return c.command(f"RCPT TO:<{recipient}>") if words.startswith("250") else words


def test_it_agrees_with_what_a_client_meets(world):
    start(world)
    for sender, recipient, source, result in (
            ("a@b.test", "alice@here.test", "127.0.0.66", "refused"),
            ("a@spam.test", "alice@here.test", "127.0.0.2", "refused"),
            ("a@b.test", "alice@here.test", "127.0.0.2", "accepted"),
            ("a@b.test", "nobody@here.test", "127.0.0.2", "refused"),
            ("a@b.test", "x@there.test", "127.0.0.2", "refused"),
            ("a@b.test", "x@there.test", "127.0.0.1", "accepted")):
        [answer] = explain(world, "--from", sender, "--to", recipient, "--client", source, "--helo",
                           "client.test")
        assert answer["result"].startswith(result), answer
        assert replies(world, sender, recipient, source).startswith("250") == (result == "accepted")


def test_it_names_the_lines(world):
    start(world)
    [answer] = explain(world, "--from", "a@spam.test", "--to", "alice@here.test", "--client",
                       "127.0.0.2")
    assert "spam" in line_of(world, steps(answer)["rule"])
    [answer] = explain(world, "--from", "a@b.test", "--to", "alice@here.test", "--helo", 64 * "a")
    assert steps(answer)["rule"]["what"].startswith("runaway: its pattern could not be matched"), answer
    [answer] = explain(world, "--from", "x@list.test", "--to", "z@far.test", "--client", "127.0.0.1")
    assert "header" in steps(answer)["perhaps"]["what"]
    assert "smart" in line_of(world, steps(answer)["route"])
    assert steps(answer)["tls"]["what"].startswith("encrypt")
    [answer] = explain(world, "--from", "a@b.test", "--to", "team@here.test")
    assert "team@here.test" in line_of(world, steps(answer)["alias"])
    assert steps(answer)["mailbox"]["what"] == f"{world.maildirs}/alice"


def test_it_explains_a_message_of_the_queue(world):
    start(world)
    world.send("x@list.test", ["z@far.test", "alice@here.test"])
    world.wait_deferred()
    [row] = world.queue()
    answers = {a["recipient"]: a for a in explain(world, row["id"])}
    far = steps(answers["z@far.test"])
    assert "tags bulk" in far["accepted"]["what"] and "smart" in far["route"]["what"]
    assert "1 attempts" in far["queue"]["what"] and "smart.test" in far["reason"]["what"]
    assert answers["alice@here.test"]["result"] == "done"
    [live] = explain(world, "--from", "a@b.test", "--to", "y@far.test", "--client", "127.0.0.1")
    assert row["id"] in steps(live)["live"]["what"]
    text = world.tern("explain", row["id"]).stdout
    assert re.search(r"^  route .*smart.*\[.*:\d+\]$", text, re.M)
    assert world.tern("explain", "0123456789abcdef").returncode == 1


def test_it_says_what_it_does_not_know_when_nothing_runs(world):
    start(world)
    world.stop_relay()
    [answer] = explain(world, "--from", "a@b.test", "--to", "x@there.test", "--client", "127.0.0.1")
    assert "not known" in steps(answer)["live"]["what"] and "breaker" not in steps(answer)


def test_it_tells_what_the_queue_knows_of_the_destination(world):
    there = world.sink("mx1.far.test")
    world.dns.mx("far.test", (10, "mx2.far.test"), (20, "mx1.far.test"))
    world.start_relay(delivery={"concurrency": 3}, routes=[
        {"domain": "smart.test", "via": "smtp://mx1.far.test", "tls": "encrypt"}])
    words = ("--from", "a@b.test", "--client", "127.0.0.1", "--to")
    [answer] = explain(world, *words, "z@far.test")
    assert steps(answer)["breaker"]["what"] == "closed: the queue has nothing for far.test"
    assert "hosts" not in steps(answer) and steps(answer)["tls"]["origin"] == "default"
    world.send("a@here.test", "b@far.test")
    there.wait(1)
    assert world.tern("destinations", "open", "far.test").returncode == 0
    world.send("a@here.test", "b@far.test")
    [row] = world.queue()
    for arguments in ((*words, "z@far.test"), (row["id"],)):
        [answer] = explain(world, *arguments)
        told = {name: step["what"] for name, step in steps(answer).items()}
        assert told["hosts"].startswith("mx1.far.test,mx2.far.test, ")
        assert told["breaker"].startswith("open since 20")
        assert " of 3, 0 running, " in told["pace"] and told["waiting"] == "waiting 1 of 1, for far.test"
        assert told["past"].startswith("last success 20")
    text = world.tern("explain", row["id"]).stdout
    assert re.search(r"^  breaker    open since 20", text, re.M)
    [answer] = explain(world, *words, "z@smart.test")
    assert "mx1.far.test" in line_of(world, steps(answer)["tls"])


def told(answer, name):
    return [step["what"] for step in answer["steps"] if step["step"] == name]


WORDS = ("--from", "a@b.test", "--client", "127.0.0.1", "--to")


def test_it_names_hosts_in_order_and_their_addresses(world):
    for name, address in (("mx1.far.test", "198.51.100.7"), ("mx2.far.test", "198.51.100.8"),
                          ("mx2.far.test", "2001:db8:25::8"), ("mx3.far.test", "127.0.0.9"),
                          ("mx5.far.test", "198.51.100.9"), ("smart.test", "198.51.100.10")):
        world.host(name, address)
    world.dns.mx("far.test", (30, "mx3.far.test"), (10, "mx2.far.test"), (20, "mx1.far.test"),
                 (40, "mx4.far.test"), (50, "mx5.far.test"), (60, "mx6.far.test"))
    world.dns.null_mx("null.test")
    world.dns.servfail("broken.test")
    world.start_relay(
        delivery={"hosts": 3, "concurrency": 7},
        destinations=[{"host": "smart.test", "concurrency": 2, "message-rate": "10/1m"}],
        routes=[{"domain": "via.test", "via": ["smtp://smart.test:587", "smtp://198.51.100.11"],
                 "tls": "verify", "source": "192.0.2.25"},
                {"domain": "fall.test", "via": ["mx", "smtp://smart.test"]}])
    [answer] = explain(world, *WORDS, "z@far.test")
    assert told(answer, "mx") == [
        "10 mx2.far.test: [2001:db8:25::8]:25 198.51.100.8:25",
        "20 mx1.far.test: 198.51.100.7:25",
        "30 mx3.far.test: no address that can be used",
        "40 mx4.far.test: no address that can be used",
        "50 mx5.far.test: 198.51.100.9:25",
        "60 mx6.far.test: not tried in one attempt: delivery.hosts and delivery.addresses"]
    assert told(answer, "limits") == ["7 connections, 100 messages each; again after 5m, then at most 4h"]
    [answer] = explain(world, *WORDS, "z@via.test")
    assert told(answer, "host") == ["smart.test: 198.51.100.10:587", "198.51.100.11: 198.51.100.11:25"]
    assert told(answer, "source") == ["192.0.2.25"] and not told(answer, "mx")
    assert told(answer, "limits")[0].startswith("2 connections, 100 messages each, 10 messages in 60000ms; ")
    assert "smart.test" in line_of(world, steps(answer)["limits"])
    [answer] = explain(world, *WORDS, "z@fall.test")
    assert told(answer, "mx") == ["fall.test: 5.1.2 the domain does not exist (fall.test)"]
    assert told(answer, "host") == ["smart.test: 198.51.100.10:25"]
    [answer] = explain(world, *WORDS, "z@null.test")
    assert told(answer, "mx")[0].startswith("null.test: 5.1.10 the domain takes no mail")
    [answer] = explain(world, *WORDS, "z@broken.test")
    assert told(answer, "mx")[0].startswith("broken.test: 4.4.3 the mail hosts cannot be looked up")
    [answer] = explain(world, *WORDS, "z@[198.51.100.12]")
    assert told(answer, "host") == ["198.51.100.12: 198.51.100.12:25"] and told(answer, "tls")
    text = world.tern("explain", *WORDS, "z@far.test").stdout
    assert re.search(r"^  mx         10 mx2\.far\.test: ", text, re.M)


def test_hosts_are_looked_up_when_nothing_runs_too(world):
    world.host("mx.far.test", "198.51.100.7")
    world.dns.mx("far.test", (10, "mx.far.test"))
    start(world)
    world.stop_relay()
    [answer] = explain(world, *WORDS, "z@far.test")
    assert told(answer, "mx") == ["10 mx.far.test: 198.51.100.7:25"]
    assert "not known" in told(answer, "live")[0]


def test_a_message_that_requires_tls_is_explained_so(world):
    world.host("mx.far.test", "198.51.100.7")
    world.dns.mx("far.test", (10, "mx.far.test"))
    world.start_relay()
    with world.connect(port=465, tls=True) as c:
        c.hello()
        assert c.command("MAIL FROM:<a@here.test> REQUIRETLS").startswith("250")
        assert c.command("RCPT TO:<z@far.test>").startswith("250")
        assert c.command("DATA").startswith("354")
        assert c.command("Subject: x\r\n\r\nx\r\n.").startswith("250")
    [row] = world.wait_queue(lambda rows: rows)
    [answer] = explain(world, row["id"])
    assert "REQUIRETLS" in told(answer, "tls")[0]


def test_it_tells_which_hosts_have_no_tls_that_works(world):
    world.dns.mx("there.test", (10, "mx1.there.test"), (20, "mx2.there.test"))
    first = world.sink("mx1.there.test", starttls="break")
    world.sink("mx2.there.test", starttls=True)
    world.start_relay()
    world.send("a@here.test", "b@there.test")
    first.wait(1)
    [answer] = explain(world, "--from", "a@b.test", "--client", "127.0.0.1", "--to", "b@there.test")
    told = steps(answer)["starttls"]["what"]
    assert re.match(r"mx1\.there\.test\[[0-9.]+\]:25: STARTTLS failed; .* plain text, until 20", told)
    text = world.tern("destinations", "there.test").stdout
    assert "\n    " + told.partition(", until")[0] in text and text.count("STARTTLS") == 1
    [row] = [json.loads(line) for line in world.tern("destinations", "there.test", "--json").stdout.splitlines()
             if "destination" in line]
    [missed] = row["tls_missed"]
    assert missed["host"].startswith("mx1.there.test[")
