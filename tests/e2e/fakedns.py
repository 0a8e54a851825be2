"""A DNS server that says what a test wants: right answers from zones that are written in Python, and
every kind of wrong one."""
import random
import socket
import struct
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

ADDRESS = "127.0.0.53"
ROOM = 8 << 20       # bytes
SO_RCVBUFFORCE = 33  # linux: above the limit of the machine, for root


class FakeDns:
    def __init__(self):
        self.records = {}     # (name, type) -> [text of rdata]
        self.manners = {}     # name or (name, type) -> callable(query, over_tcp) -> bytes or None
        self.questions = []   # (name, type, "udp" or "tcp"), as they were asked
        self.ttl = 60
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._make_room()
        self._udp.bind((ADDRESS, 53))
        self._tcp = socket.create_server((ADDRESS, 53))
        self._threads = [threading.Thread(target=run, daemon=True)
                         for run in (self._serve_udp, self._serve_tcp)]
        for t in self._threads:
            t.start()

    def _make_room(self):
        """For thousands of questions, which come faster than a busy machine lets us answer."""
        try:
            self._udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        except PermissionError:
            self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)

    def close(self):
        self._udp.sendto(b"", self._udp.getsockname())  # the sign for the end
        self._tcp.shutdown(socket.SHUT_RDWR)
        for t in self._threads:
            t.join()
        self._udp.close()
        self._tcp.close()

    # what is so

    def add(self, name, kind, *values):
        self.records.setdefault((name.lower(), kind), []).extend(values)

    def mx(self, name, *hosts):
        self.add(name, "MX", *[f"{preference} {host}." for preference, host in hosts])

    def null_mx(self, name):
        self.add(name, "MX", "0 .")

    def a(self, name, *addresses):
        self.add(name, "A", *addresses)

    def aaaa(self, name, *addresses):
        self.add(name, "AAAA", *addresses)

    def cname(self, name, target):
        self.add(name, "CNAME", target + ".")

    def forget(self, name, kind):
        self.records.pop((name.lower(), kind), None)

    # what goes wrong; `kind` limits it to one type

    def _mind(self, name, kind, manner):
        self.manners[(name.lower(), kind) if kind else name.lower()] = manner

    def servfail(self, name, kind=None):
        self._mind(name, kind, lambda q, tcp: self._fail(q, dns.rcode.SERVFAIL))

    def refuse(self, name, kind=None):
        self._mind(name, kind, lambda q, tcp: self._fail(q, dns.rcode.REFUSED))

    def silent(self, name, kind=None):
        self._mind(name, kind, lambda q, tcp: None)

    def delay(self, name, seconds, kind=None):
        def manner(query, over_tcp):
            time.sleep(seconds)
            return self._answer(query, over_tcp)
        self._mind(name, kind, manner)

    def truncate(self, name, kind=None):
        """UDP: nothing but the flag; TCP has the answer."""
        def manner(query, over_tcp):
            if over_tcp:
                return self._answer(query, over_tcp)
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
            return response.to_wire()
        self._mind(name, kind, manner)

    def garbage(self, name, kind=None):
        """An answer to the question by its looks, and then noise."""
        def manner(query, over_tcp):
            head = dns.message.make_response(query).to_wire()[:12]
            noise = random.Random(name).randbytes(200)
            return head[:4] + b"\0\1\0\5\0\0\0\0" + noise
        self._mind(name, kind, manner)

    def answer_for(self, name, other, kind=None):
        """As if `other` had been asked for."""
        def manner(query, over_tcp):
            return self._answer(dns.message.make_query(other, query.question[0].rdtype, id=query.id), over_tcp)
        self._mind(name, kind, manner)

    def mistake(self, name, kind=None):
        """An answer to a question with another number, as one who guesses would send."""
        def manner(query, over_tcp):
            wire = self._answer(query, over_tcp)
            return bytes([wire[0] ^ 0x55]) + wire[1:]
        self._mind(name, kind, manner)

    def add_to(self, name, kind, owner, value):
        """Records that nobody asked for, among the answers."""
        def manner(query, over_tcp):
            response = dns.message.from_wire(self._answer(query, over_tcp))
            response.answer.append(dns.rrset.from_text(owner + ".", self.ttl, "IN", kind, value))
            return response.to_wire()
        self._mind(name, None, manner)

    def behave(self, name, kind=None):
        self.manners.pop((name.lower(), kind) if kind else name.lower(), None)

    def asked(self, name, kind):
        return sum(1 for n, k, _ in self.questions if n == name.lower() and k == kind)

    # answers

    @staticmethod
    def _fail(query, code):
        response = dns.message.make_response(query)
        response.set_rcode(code)
        return response.to_wire()

    def _exists(self, name):
        return any(n == name or n.endswith("." + name) for n, _ in list(self.records))

    def _answer(self, query, over_tcp):
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        name = question.name.to_text(omit_final_dot=True).lower()
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        while True:
            owner = name + "."
            values = self.records.get((name, kind))
            alias = self.records.get((name, "CNAME"))
            if values:
                response.answer.append(
                    dns.rrset.from_text_list(owner, self.ttl, "IN", kind, values))
            elif alias:
                response.answer.append(
                    dns.rrset.from_text_list(owner, self.ttl, "IN", "CNAME", alias))
                name = alias[0].rstrip(".").lower()
                if len(response.answer) < 20:
                    continue
            elif not self._exists(name):
                response.set_rcode(dns.rcode.NXDOMAIN)
            break
        if not values:
            soa = "ns.test. root.test. 1 3600 600 86400 60"
            response.authority.append(dns.rrset.from_text("test.", self.ttl, "IN", "SOA", soa))
        try:
            return response.to_wire(max_size=65535 if over_tcp else 1232)
        except dns.exception.TooBig:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _respond(self, wire, over_tcp):
        query = dns.message.from_wire(wire)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        name = question.name.to_text(omit_final_dot=True).lower()
        self.questions.append((name, kind, "tcp" if over_tcp else "udp"))
        manner = self.manners.get((name, kind)) or self.manners.get(name) or self._answer
        return manner(query, over_tcp)

    # sockets

    def _respond_udp(self, wire, client):
        answer = self._respond(wire, False)
        if answer is not None:
            try:
                self._udp.sendto(answer, client)
            except OSError:
                pass

    def _serve_udp(self):
        while True:
            try:
                wire, client = self._udp.recvfrom(65535)
            except OSError:
                return
            if not wire:
                return
            threading.Thread(target=self._respond_udp, args=(wire, client), daemon=True).start()

    def _converse_tcp(self, s):
        with s, s.makefile("rwb") as f:
            while len(head := f.read(2)) == 2:
                answer = self._respond(f.read(struct.unpack("!H", head)[0]), True)
                if answer is None:
                    return
                f.write(struct.pack("!H", len(answer)) + answer)
                f.flush()

    def _serve_tcp(self):
        while True:
            try:
                s, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._converse_tcp, args=(s,), daemon=True).start()
