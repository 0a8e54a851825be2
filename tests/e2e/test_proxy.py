"""Proxies in front of Tern: HAProxy's protocol in both versions, and what strangers make of it."""
import smtplib
import socket
import subprocess

import pytest

from test_submission import HELLO, received_of, without_checks
from world import RawClient, wait_for

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 25\r\n"
V2 = SIGNATURE + b"\x21\x11\0\x0c" + bytes([192, 0, 2, 77, 192, 0, 2, 1, 1, 2, 0, 25])


def behind_proxy(world, **more):
    """A listener on port 2600, of which 127.0.0.1 is the proxy; 127.0.0.1 itself is trusted."""
    world.settings["listen"].append(
        {"address": "127.0.0.1:2600", "name": "proxied", "proxy": ["127.0.0.1"], **more})
    world.start_relay()


def haproxy(world, *servers):
    """A real HAProxy; each server is "PORT OPTIONS", and it listens on 2700, 2701 ..."""
    lines = ["global", "  maxconn 100", "defaults", "  mode tcp", "  timeout connect 5s",
             "  timeout client 60s", "  timeout server 60s"]
    for i, server in enumerate(servers):
        port, options = server.split(" ", 1)
        lines += [f"listen l{i}", f"  bind 127.0.0.1:{2700 + i}",
                  f"  server tern 127.0.0.1:{port} {options}"]
    path = world.folder / "haproxy.cfg"
    path.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(["haproxy", "-db", "-f", str(path)])
    world.launched.append(process)

    def listens():
        try:
            socket.create_connection(("127.0.0.1", 2700 + len(servers) - 1), 1).close()
            return True
        except OSError:
            return False
    wait_for(listens, "HAProxy")
    return process


def stop(process):
    process.terminate()
    process.wait()


def test_haproxy_tells_the_client_in_both_versions(world):
    behind_proxy(world)
    proxy = haproxy(world, "2600 send-proxy", "2600 send-proxy-v2",
                    "2600 send-proxy-v2 proxy-v2-options crc32c,unique-id")
    for port in (2700, 2701, 2702):
        with smtplib.SMTP("127.0.0.1", port, source_address=("127.0.0.9", 0)) as client:
            client.starttls(context=without_checks())
            client.sendmail("a@there.test", ["alice@here.test"], HELLO)
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("a@there.test", ["b@there.test"], HELLO)
    messages = world.mailbox("alice").wait(3)
    assert all("([127.0.0.9])" in received_of(m) for m in messages)
    accepted = world.log.find("message_accepted", client="127.0.0.9", listener="proxied")
    assert len(accepted) == 3
    stop(proxy)


def test_the_header_comes_before_implicit_tls(world):
    behind_proxy(world, tls="implicit")
    proxy = haproxy(world, "2600 send-proxy-v2")
    with smtplib.SMTP_SSL("127.0.0.1", 2700, context=without_checks(),
                          source_address=("127.0.0.9", 0)) as client:
        client.sendmail("a@there.test", ["alice@here.test"], HELLO)
    assert "([127.0.0.9])" in received_of(world.mailbox("alice").wait_message())
    stop(proxy)


@pytest.mark.parametrize("header", [V1, V2])
@pytest.mark.parametrize("cut", [1, 12, 15, 27])
def test_a_header_comes_in_pieces_with_commands_behind_it(world, header, cut):
    behind_proxy(world)
    with RawClient(2600) as c:
        c.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        c.send(header[:cut])
        c.send(header[cut:] + b"EHLO client.test\r\n")
        assert c.reply().startswith("220")
        assert c.reply().startswith("250")
        assert c.command("MAIL FROM:<a@there.test>").startswith("250")
        assert c.command("RCPT TO:<b@there.test>").startswith("554 5.7.1")
    world.log.wait("message_refused", client="192.0.2.77")


@pytest.mark.parametrize("first", [
    b"EHLO client.test\r\n", b"\r\nX", b"\x16\x03\x01\x02\0", V1.lower(), V2[:12] + b"\x31" + V2[13:],
    b"PROXY TCP4 192.0.2.77 192.0.2.1 4711\r\n", b"PROXY UNKNOWN " + 100 * b"x"])
def test_a_proxy_that_sends_no_header_is_hung_up_on(world, first):
    behind_proxy(world)
    with RawClient(2600) as c:
        c.send(first)
        assert c.reply() == ""
    assert world.log.wait("proxy_header_refused", listener="proxied", client="127.0.0.1")


def test_a_proxy_that_is_silent_is_hung_up_on(world):
    world.settings["timeouts"] = {"handshake": "1s"}
    behind_proxy(world)
    with RawClient(2600) as c:
        c.send(V1[:10])
        assert c.reply() == ""
    assert "in time" in world.log.wait("proxy_header_refused")["reason"]


def test_who_is_not_told_has_not_the_trust_in_the_proxy(world):
    behind_proxy(world, xclient=["127.0.0.1"])
    for header in (b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0"):
        with RawClient(2600) as c:
            c.send(header)
            assert "XCLIENT" not in c.hello()
            assert c.command("XCLIENT LOGIN=boss").startswith("550")
            assert c.command("MAIL FROM:<a@there.test>").startswith("250")
            assert c.command("RCPT TO:<alice@here.test>").startswith("250")
            assert c.command("RCPT TO:<b@there.test>").startswith("554 5.7.1")


def test_behind_a_header_nobody_else_says_xclient(world):
    behind_proxy(world, xclient=["127.0.0.1", "192.0.2.78"])
    for last, code in ((77, "550"), (78, "220")):
        with RawClient(2600) as c:
            c.send(b"PROXY TCP4 192.0.2.%d 192.0.2.1 4711 25\r\n" % last)
            assert ("XCLIENT" in c.hello()) == (code == "220")
            assert c.command("XCLIENT LOGIN=boss").startswith(code)


@pytest.mark.parametrize("header", [V1, V2])
def test_strangers_have_no_proxy(world, header):
    behind_proxy(world)
    with RawClient(2600, source="127.0.0.2") as c:
        assert c.reply().startswith("220")
        c.send(header)
        assert c.reply().startswith("500")
    with RawClient(25) as c:
        assert c.reply().startswith("220")
        c.send(header)
        assert c.reply().startswith("500")


def test_clients_behind_a_proxy_have_limits_of_their_own(world):
    world.settings["limits"] = {"connections-per-client": 2}
    behind_proxy(world)

    def connect(last):
        c = RawClient(2600)
        c.send(b"PROXY TCP4 192.0.2.%d 192.0.2.1 4711 25\r\n" % last)
        return c, c.reply()
    all_of_them = [connect(1 + i // 2) for i in range(8)]
    assert all(words.startswith("220") for _, words in all_of_them)
    refused, words = connect(1)
    assert words.startswith("421 4.7.0")
    refused.close()
    for c, _ in all_of_them:
        c.close()
    again, words = connect(1)
    wait_for(lambda: words.startswith("220") or connect(1)[1].startswith("220"), "a free place")
    again.close()


def test_xclient_is_for_named_proxies(world):
    world.settings["listen"].append({"address": "127.0.0.1:2600", "xclient": ["127.0.0.1"]})
    world.start_relay()
    with RawClient(2600) as c:
        assert "XCLIENT ADDR" in c.hello()
        assert c.command("XCLIENT ADDR=192.0.2.77 NAME=client.test HELO=said.test").startswith("220")
        assert c.command("EHLO proxy.test").startswith("250")
        c.begin("a@there.test", "alice@here.test")
        c.send(HELLO + b".\r\n")
        assert c.reply().startswith("250")
    assert "from said.test (client.test [192.0.2.77])" in received_of(
        world.mailbox("alice").wait_message())
    with RawClient(2600, source="127.0.0.2") as c:
        assert "XCLIENT" not in c.hello()
        assert c.command("XCLIENT ADDR=127.0.0.1").startswith("550")
    with RawClient(25) as c:
        assert "XCLIENT" not in c.hello()
