"""Aliases: from files and the configuration to mailboxes here and addresses elsewhere."""
import smtplib

from test_submission import HELLO, received_of
from world import wait_for


def refused(world, recipient):
    with world.connect() as c:
        c.hello()
        assert c.command("MAIL FROM:<a@there.test>").startswith("250")
        return c.command(f"RCPT TO:<{recipient}>")


def test_an_alias_reaches_everybody_behind_it(world):
    remote = world.domain("there.test")
    file = world.folder / "aliases"
    members = world.folder / "members"
    file.write_text(f"staff: alice, :include:{members}\n")
    members.write_text("# one here, one there\nbob\ncarol@there.test\n")
    world.start_relay(**{"alias-files": [str(file)]})
    world.send("a@here.test", "staff@here.test", HELLO)
    assert "for <" not in received_of(world.mailbox("alice").wait_message())
    world.mailbox("bob").wait_message()
    assert remote.wait_message().recipients == ["carol@there.test"]
    world.wait_empty_queue()


def test_alias_files_are_read_again_on_sighup(world):
    file = world.folder / "aliases"
    file.write_text("sales: alice\n")
    world.start_relay(**{"alias-files": [str(file)]})
    assert refused(world, "news@here.test").startswith("550 5.1.1")
    file.write_text("sales: alice\nnews: bob\n")
    world.reload()
    world.send("a@here.test", "news@here.test", HELLO)
    world.mailbox("bob").wait_message()
    file.write_text("news: news2\nnews2: news\n")
    world.reload()
    assert "leads back to itself" in world.log.text()
    assert world.log.has("reload_failed")
    world.send("a@here.test", "news@here.test", HELLO)  # as before
    world.mailbox("bob").wait(2)


def test_a_program_is_refused_with_its_line(world):
    file = world.folder / "aliases"
    file.write_text('root: alice\nprog: "|/bin/true"\n')
    world.configure(**{"alias-files": [str(file)]})
    world.write_config()
    done = world.tern("config", "check")
    assert done.returncode != 0
    assert f"{file}:2:7: error: Tern runs no programs" in done.stderr


def test_a_domain_without_a_postmaster_is_an_error(world):
    world.configure(domains={"lonely.test": {"deliver": "aliases"},
                             "folders.test": {"deliver": "maildir", "mailboxes": "directory"}})
    world.settings["mailboxes"] = {"alice@here.test": "alice"}
    world.write_config()
    done = world.tern("config", "check")
    assert done.returncode != 0
    assert "error: here.test has no postmaster" in done.stderr
    assert "error: lonely.test has no postmaster" in done.stderr
    assert "warning: folders.test has no postmaster" in done.stderr


def test_virtual_domains_catch_all_and_detail(world):
    world.start_relay(
        domains={"here.test": {"deliver": "maildir"}, "info.test": {"deliver": "aliases"}},
        aliases={"@info.test": "alice@here.test", "bob@info.test": "bob@here.test"})
    world.send("a@here.test", "whoever@info.test", HELLO)
    world.mailbox("alice").wait_message()
    world.send("a@here.test", ["bob@info.test", "bob+news@here.test"], HELLO)
    got = world.mailbox("bob").wait(2)
    assert sum(b"Delivered-To: bob+news@here.test" in m for m in got) == 1
    world.send("a@here.test", "abuse@here.test", HELLO)
    world.mailbox("postmaster").wait_message()


def test_a_bounce_finds_a_sender_who_is_an_alias(world):
    world.dns.null_mx("nowhere.test")
    world.start_relay(aliases={"sales@here.test": ["alice", "bob"]})
    world.send("sales@here.test", "x@nowhere.test", HELLO)
    for name in ("alice", "bob"):
        assert b"x@nowhere.test" in world.mailbox(name).wait_message()
    world.wait_empty_queue()


def test_ten_thousand_aliases(world):
    """They are there, and a message takes its usual way."""
    file = world.folder / "aliases"
    file.write_text("".join(f"user{i}: alice\n" for i in range(10000)))
    world.start_relay(**{"alias-files": [str(file)]})
    with smtplib.SMTP("127.0.0.1", 2525) as client:
        for i in (0, 4999, 9999):
            client.sendmail("a@here.test", [f"user{i}@here.test"], HELLO)
        code, _ = client.docmd("MAIL", "FROM:<a@here.test>")
        assert code == 250
        assert client.rcpt("user10000@here.test")[0] == 550
    world.mailbox("alice").wait(3)


def test_an_alias_with_a_thousand_members(world):
    """RFC 5321, 3.9.1: what an alias stands for fits a message as well."""
    there = world.domain("there.test")
    world.start_relay(aliases={"all@here.test": [f"member-{n:04}-{'x' * 40}@there.test" for n in range(1000)]})
    world.send("a@here.test", "all@here.test", HELLO)
    wait_for(lambda: sum(len(m.recipients) for m in there.messages) >= 1000, "all of them")
    assert len({r for m in there.messages for r in m.recipients}) == 1000
    world.wait_empty_queue()
