"""Reads a spool as doc/spool-format.md tells, and with nothing else."""
import re
import struct

UNIT = 64
FIRST = 8192


def _table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = _table()


def crc32c(content, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in content:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Record:
    """Header, meta and body at `at`; ValueError where there is none."""

    def __init__(self, data, at, nonce):
        header = data[at:at + UNIT]
        if len(header) < UNIT or header[:6] != b"TERN1 " or header[63:] != b"\n":
            raise ValueError
        self.type = chr(header[6])
        self.id = int(header[8:24], 16)
        meta, body = int(header[25:30], 16), int(header[31:38], 16)
        self.batch, self.back = int(header[39:49], 16), int(header[50:54], 16)
        self.at = at
        self.end = at + (UNIT + meta + body + UNIT - 1) // UNIT * UNIT
        self.meta = data[at + UNIT:at + UNIT + meta]
        self.body = data[at + UNIT + meta:at + UNIT + meta + body]
        if self.end > len(data) or crc32c(nonce + header[:55] + self.meta) != int(header[55:63], 16):
            raise ValueError
        line, _, self.text = self.meta.partition(b"\n")
        words = line.decode().split()
        self.name = words[0] if words and "=" not in words[0] else None
        self.words = dict(word.split("=", 1) for word in words if "=" in word)


def fields(text):
    """Key and value of each line."""
    for line in text.split(b"\n")[:-1]:
        key, value = line.decode().split("=", 1)
        yield key, re.sub("%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), value)


def rcpts(text):
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def segment_records(path, cuts, left=None):
    """The records of a segment; its head tells of cuts in others, and which was left without an end."""
    data = path.read_bytes()
    number = int(path.stem, 16)
    start = None
    for at in (0, 4096):
        try:
            s = Record(data, at, b"")
        except ValueError:
            continue
        if s.type == "S" and int(s.words["segment"], 16) == number:
            start = start or s
    if start is None:
        return
    for cut in filter(None, start.words.get("cut", "").split(",")):
        segment, offset = cut.split(":")
        cuts[int(segment, 16)] = min(int(offset), cuts.get(int(segment, 16), len(data)))
    if left is not None:
        left[number] = int(start.words["left"], 16)
    nonce = struct.pack("<Q", int(start.words["nonce"], 16))
    at, batch = FIRST, start.batch
    while at < len(data):
        try:
            r = Record(data, at, nonce)
        except ValueError:
            at += UNIT
            continue
        r.place = number << 20 | at // UNIT
        if r.batch < batch or (r.type == "M" and r.id != r.place):
            at += UNIT
            continue
        batch, at = r.batch, r.end
        yield r


class Message:
    def __init__(self, record, big):
        self.id = record.id
        self.place = record.place
        self.size = int(record.words["body"])
        if "file" in record.words:
            name = record.words["file"]
            path = big / name[:2] / (name + ".eml")
            self.body = path.read_bytes() if path.exists() else b""
        else:
            self.body = record.body
        self.whole = len(self.body) == self.size and crc32c(self.body) == int(record.words["crc"], 16)
        self.envelope = list(fields(record.text))
        self.sender = dict(self.envelope)["from"]
        self.rcpts = [value for key, value in self.envelope if key == "rcpt"]
        self.change = "hold" if not self.whole or "hold" in dict(self.envelope) else None
        self.outcomes = {}

    @property
    def open(self):
        """Recipients that are not done, with the number of attempts."""
        return {self.rcpts[i]: attempts for i, (state, attempts) in
                ((i, self.outcomes.get(i, ("deferred", 0))) for i in range(len(self.rcpts)))
                if state == "deferred"}


def live_messages(spool):
    """By id."""
    paths = sorted((spool / "log").glob("*.seg"))
    cuts, records = {}, []
    for path in paths:
        records += segment_records(path, cuts)
    records = [r for r in records
               if r.at < cuts.get(r.place >> 20, 1 << 40)]
    over = {r.id for r in records if r.type == "X"}
    newest = {}
    for r in records:
        if r.type == "C" or (r.type == "M" and r.id not in newest):
            newest[r.id] = r.place
    messages = {r.id: Message(r, spool / "big") for r in records
                if r.type in "MC" and r.id not in over and newest[r.id] == r.place}
    for r in records:
        if r.type == "M" and "about" in r.words and int(r.words["about"], 16) in messages:
            about = messages[int(r.words["about"], 16)]
            about.outcomes |= {i: ("failed", 0) for i in rcpts(r.words.get("settles", ""))}
        if r.id not in messages:
            continue
        message = messages[r.id]
        if r.type == "D":
            message.outcomes |= {i: (r.name, int(r.words["attempts"])) for i in rcpts(r.words["rcpts"])}
        elif r.type == "A" and r.name != "noticed":
            message.change = None if r.name == "release" else r.name
    return {i: m for i, m in messages.items() if m.open}


def claims_batch(content, batch):
    """Something in it looks like the header of a record of that batch, or of a later one."""
    return any(m.start() % UNIT == 0 and int(m[1], 16) >= batch for m in
               re.finditer(rb"TERN1 . [0-9a-f]{16} .{5} .{7} ([0-9a-f]{10}) [^\n]{13}\n", content, re.DOTALL))


def segment_damage(path, records, end, next_left):
    """Where there is something else than was durable once; `next_left` is None for the newest of a stream."""
    newest, last = next_left is None, records[-1]
    sure = last.at - last.back * UNIT if newest else end
    for r in records:
        if r.type in "MC" and "file" not in r.words and not (newest and r.batch == last.batch) \
                and crc32c(r.body) != int(r.words["crc"], 16):
            yield r.at
    for at, to in zip([FIRST] + [r.end for r in records], [r.at for r in records] + [end]):
        rest = to == end and next_left == int(path.stem, 16)
        if at < min(to, sure) and not (rest and not claims_batch(path.read_bytes()[at:to], last.batch)):
            yield at


def damage(spool):
    """Names of segments and offsets in them; of segments that have a record at least."""
    cuts, left = {}, {}
    segments = {int(path.stem, 16): (path, list(segment_records(path, cuts, left)))
                for path in sorted((spool / "log").glob("*.seg"))}
    found = set()
    for number, (path, records) in segments.items():
        end = min(cuts.get(number, 1 << 40), path.stat().st_size)
        later = [left[n] for n in segments if n > number and n % 2 == number % 2]
        found |= {(path.name, at) for at in
                  segment_damage(path, [r for r in records if r.at < end], end, later[0] if later else None)}
    return found
