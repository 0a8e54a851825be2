"""Records of TLS that come together, or in parts: one read of the socket takes them all."""
import os
import signal
import socket
import ssl


class Records:
    """A client under TLS that decides when what it wrote goes on its way; at first that is the end
    of its handshake."""

    def __init__(self, client):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.s = client.s
        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self.goes)
        self.heard = b""
        self.repeat(self.tls.do_handshake)

    def repeat(self, what):
        while True:
            try:
                return what()
            except ssl.SSLWantReadError:
                self.flush()
                came = self.s.recv(65536)
                assert came, "the server has gone"
                self.came.write(came)

    def flush(self):
        if self.goes.pending:
            self.s.sendall(self.goes.read())

    def write(self, *pieces):
        """A record each; they wait for flush."""
        for piece in pieces:
            self.tls.write(piece)

    def replies(self, count):
        """The codes of so many replies."""
        while True:
            lines = self.heard.split(b"\r\n")
            ends = [n for n, line in enumerate(lines[:-1]) if line[3:4] == b" "]
            if len(ends) >= count:
                self.heard = b"\r\n".join(lines[ends[count - 1] + 1:])
                return [int(lines[n][:3]) for n in ends[:count]]
            self.heard += self.repeat(lambda: self.tls.read(65536))


def test_all_that_come_together_are_answered(world):
    world.start_relay()
    with world.connect(465) as c:
        r = Records(c)
        r.write(b"EHLO a.test\r\n", b"NOOP\r\n", b"VR", b"FY x\r\n", b"NOOP\r\nRSET\r\n", b"QUIT\r\n")
        r.flush()
        assert r.replies(7) == [220, 250, 250, 252, 250, 250, 221]


def test_one_that_is_cut_waits_for_its_rest(world):
    world.start_relay()
    with world.connect(465) as c:
        r = Records(c)
        r.write(b"EHLO a.test\r\n", b"NOOP\r\n")
        wire = r.goes.read()
        r.s.sendall(wire[:-9])
        assert r.replies(2) == [220, 250]
        r.s.sendall(wire[-9:])
        assert r.replies(1) == [250]


def test_what_follows_a_message_is_read_when_that_is_stored(world):
    """Also from a client that says no more, which is not one that has gone."""
    world.start_relay()
    with world.connect(465) as c:
        r = Records(c)
        r.write(b"EHLO a.test\r\n", b"MAIL FROM:<a@x.test>\r\n", b"RCPT TO:<alice@here.test>\r\n",
                b"DATA\r\n")
        r.flush()
        assert r.replies(5) == [220, 250, 250, 250, 354]
        r.write(b"Subject: hello\r\n\r\nhello\r\n.\r\n", b"NOOP\r\n", b"QUIT\r\n")
        smtpd = world.pids_of("smtpd")
        for pid in smtpd:
            os.kill(pid, signal.SIGSTOP)
        r.flush()
        r.s.shutdown(socket.SHUT_WR)
        for pid in smtpd:
            os.kill(pid, signal.SIGCONT)
        assert r.replies(3) == [250, 250, 221]
    world.mailbox("alice").wait()


def test_one_with_the_end_of_the_handshake_is_read(world):
    world.start_relay()
    with world.connect(2525) as c:
        c.hello()
        assert c.command("STARTTLS").startswith("220")
        r = Records(c)
        r.write(b"EHLO a.test\r\n", b"NOOP\r\n")
        r.flush()
        assert r.replies(2) == [250, 250]
