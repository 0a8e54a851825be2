"""A remote SMTP server that behaves as a test wants.

What it says in each phase (greet, ehlo, helo, starttls, mail, rcpt, data, final, bdat, rset, noop, quit)
can be given as
  - a reply: "451 4.2.0 later"
  - CLOSE: the connection ends there; SILENT: nothing is said any more
  - a list of these, used up one by one; the last one stays
  - a dictionary by address, for rcpt and mail
  - a function of the command's argument (of the Message for final) that returns one of these
"""
import re
import socket
import ssl
import threading
from dataclasses import dataclass, field

CLOSE = object()
SILENT = object()

DEFAULTS = {
    "greet": "220 sink ESMTP", "helo": "250 sink", "starttls": "220 go", "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok", "bdat": "250 2.0.0 taken", "data": "354 go on", "final": "250 2.0.0 taken", "rset": "250 ok",
    "noop": "250 ok", "quit": "221 bye",
}


@dataclass
class Message:
    sender: str = ""
    sender_params: str = ""
    recipients: list = field(default_factory=list)
    content: bytes = b""   # without dot-stuffing
    tls: str = ""          # version, "" for plain text
    resumed: bool = False  # the session of TLS
    helo: str = ""
    client: str = ""
    connection: int = 0    # counted from 1
    chunk: bool = False    # came by BDAT


class Over(Exception):
    pass


class Sink:
    def __init__(self, address, certificate=None, port=25, extensions=("PIPELINING", "8BITMIME",
                 "SIZE 100000000", "ENHANCEDSTATUSCODES"), starttls=False, implicit_tls=False, **says):
        self.address, self.port = address, port
        self.extensions = list(extensions)
        self.offers_tls = bool(starttls)
        self.implicit_tls = implicit_tls
        self.says = says
        if starttls not in (True, False):
            self.says["starttls"] = starttls
        self.context = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        self.messages = []     # those whose final dot was answered with 2xx
        self.attempts = 0      # connections
        self.open = 0          # connections now
        self.most_open = 0
        self.commands = []     # every command line
        self.complaints = []   # what Tern must never send
        self.changed = threading.Condition()
        self._closing = threading.Event()
        self._sockets = set()
        self._listener = self._listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _listen(self):
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
        s.bind((self.address, self.port))
        s.listen(256)
        return s

    def close(self):
        self._closing.set()
        self.drop(self._listener)
        self._listener.close()

    def drop(self, *more):
        """Ends the connections that there are."""
        for s in [*more, *self._sockets]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def wait(self, count=1, timeout=60):
        """The messages, as soon as there are `count`."""
        with self.changed:
            done = self.changed.wait_for(lambda: len(self.messages) >= count, timeout)
        assert done, f"{self.address} has {len(self.messages)} of {count} messages"
        return list(self.messages)

    def wait_message(self):
        return self.wait()[0]

    def wait_until(self, condition, timeout=60):
        with self.changed:
            assert self.changed.wait_for(condition, timeout), f"{self.address}: {self.commands[-20:]}"

    # one connection

    def _accept(self):
        while True:
            try:
                s, peer = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(s, peer), daemon=True).start()

    def _run(self, s, peer):
        with self.changed:
            self.attempts += 1
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            number = self.attempts
            self.changed.notify_all()
        self._sockets.add(s)
        try:
            Session(self, s, peer, number).run()
        except (Over, OSError, ValueError):
            pass
        finally:
            self._sockets.discard(s)
            s.close()
            with self.changed:
                self.open -= 1
                self.changed.notify_all()


class Session:
    def __init__(self, sink, s, peer, number):
        self.sink, self.s, self.peer, self.number = sink, s, peer, number
        self.tls = ""
        self.resumed = False
        self.helo = ""
        self.message = None
        self.f = None

    def note(self, change):
        with self.sink.changed:
            change()
            self.sink.changed.notify_all()

    def words_for(self, phase, argument):
        says = self.sink.says.get(phase, DEFAULTS.get(phase))
        while not isinstance(says, str) and says not in (CLOSE, SILENT, None):
            if isinstance(says, list):
                says = says.pop(0) if len(says) > 1 else says[0]
            elif isinstance(says, dict):
                says = says.get(argument, DEFAULTS[phase])
            else:
                says = says(argument)
        return DEFAULTS.get(phase) if says is None else says

    def say(self, phase, argument=None):
        return self.utter(self.words_for(phase, argument))

    def utter(self, words):
        """True if it was a 2xx or 3xx."""
        if words is CLOSE:
            raise Over
        if words is SILENT:
            self.sink._closing.wait()
            raise Over
        self.write(words)
        if words.startswith("421"):
            raise Over
        return words[0] in "23"

    def write(self, words):
        if not words.endswith("\n"):
            words += "\r\n"
        self.f.write(words.encode("latin-1"))
        self.f.flush()

    def start_tls(self):
        if self.sink.context is None:
            raise Over
        self.s = self.sink.context.wrap_socket(self.s, server_side=True)
        self.sink._sockets.add(self.s)
        self.tls = self.s.version()
        self.resumed = self.s.session_reused
        self.f = self.s.makefile("rwb")

    def run(self):
        if self.sink.implicit_tls:
            self.start_tls()
        else:
            self.f = self.s.makefile("rwb")
        if not self.say("greet"):
            return
        while line := self.read_line():
            self.note(lambda: self.sink.commands.append(line.decode("latin-1").rstrip("\r\n")))
            if not line.endswith(b"\r\n"):
                self.sink.complaints.append(f"a command that ends in {line[-2:]!r}")
            text = line.decode("latin-1").rstrip("\r\n")
            verb, _, argument = text.partition(" ")
            getattr(self, "on_" + verb.lower(), self.on_other)(argument)

    def read_line(self):
        """Empty at the end; what was cut off there is no line."""
        line = self.f.readline()
        return line if line.endswith(b"\n") else b""

    # commands

    def on_ehlo(self, argument):
        self.helo = argument
        self.message = None
        if "ehlo" in self.sink.says:
            self.say("ehlo", argument)
            return
        extensions = self.sink.extensions + (["STARTTLS"] if self.sink.offers_tls and not self.tls
                                             else [])
        lines = ["sink"] + extensions
        self.write("".join(f"250{' ' if i == len(lines) - 1 else '-'}{line}\r\n"
                           for i, line in enumerate(lines)))

    def on_helo(self, argument):
        self.helo = argument
        self.say("helo", argument)

    def on_starttls(self, argument):
        words = self.words_for("starttls", argument)
        if words == "break":  # says yes, and then talks something else than TLS
            self.write("220 go\r\n")
            self.s.recv(1)
            self.write("this is not TLS\r\n")
            raise Over
        if words == "ask":  # for a certificate, which TLS 1.3 misses only after the client's handshake
            self.sink.context.verify_mode = ssl.CERT_REQUIRED
            words = "220 go"
        self.write(words)
        if words.startswith("220"):
            self.start_tls()

    @staticmethod
    def take_path(argument, keyword):
        match = re.fullmatch(keyword + r":<([^>]*)>(?: (.*))?", argument, re.I)
        return (match[1], match[2] or "") if match else (argument, "?")

    def on_mail(self, argument):
        sender, params = self.take_path(argument, "FROM")
        if self.say("mail", sender):
            self.message = Message(sender, params, [], b"", self.tls, self.resumed, self.helo, self.peer[0],
                                   self.number)

    def on_rcpt(self, argument):
        recipient, _ = self.take_path(argument, "TO")
        if self.message is None:
            self.write("503 5.5.1 MAIL first")
        elif self.say("rcpt", recipient):
            self.message.recipients.append(recipient)

    def on_data(self, argument):
        if self.message is None or not self.message.recipients:
            self.write("554 5.5.1 no valid recipients")
            return
        if not self.say("data", argument):
            return
        lines = []
        while (line := self.read_line()) != b".\r\n":
            if line == b"":
                raise Over
            if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
                self.sink.complaints.append(f"a bare CR or LF in {line!r}")
            lines.append(line[1:] if line.startswith(b".") else line)
        self.message.content = b"".join(lines)
        message, self.message = self.message, None
        words = self.words_for("final", message)
        if isinstance(words, str) and words.startswith("2"):
            self.note(lambda: self.sink.messages.append(message))
        self.utter(words)

    def on_bdat(self, argument):
        """One chunk, the last; without CHUNKING its bytes are commands."""
        if "CHUNKING" not in self.sink.extensions:
            self.on_other(argument)
            return
        size, _, last = argument.partition(" ")
        content = self.f.read(int(size))
        if last != "LAST" or len(content) < int(size):
            raise Over
        words = self.words_for("bdat", argument)
        if self.message is None or not self.message.recipients:
            words = "503 5.5.1 no valid recipients"
        elif isinstance(words, str) and words.startswith("2"):
            self.message.content = content
            self.message.chunk = True
            self.note(lambda message=self.message: self.sink.messages.append(message))
        self.message = None
        self.utter(words)

    def on_rset(self, argument):
        self.message = None
        self.say("rset", argument)

    def on_noop(self, argument):
        self.say("noop", argument)

    def on_quit(self, argument):
        self.say("quit", argument)
        raise Over

    def on_other(self, argument):
        self.write("502 5.5.2 what?")
