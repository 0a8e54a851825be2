"""Every reply that smtpd can give is expected by a test.

A reply is a code, an enhanced code and a text that stand beside each other in a source. A test has
the three as the server says them, "550 5.1.1 No such mailbox here": a dialogue, a unit test, or an
end-to-end test. Where the text is made of parts or stands elsewhere, the codes will do; then that
text, which is known by its capital letter and its blanks, is expected somewhere too.
"""

import pathlib
import re
import sys

import sources

SOURCES = ("smtpd/*.c", "ipc/policy.c", "ipc/rules.c", "ipc/settings_then.c")
TESTS = ("tests/dialogs/*.txt", "tests/unit/smtpd/*.c", "tests/e2e/test_*.py")

STRING = r'"(?:[^"\\]|\\.)*"'
STRINGS = re.compile(rf"{STRING}(?:\s*{STRING})*")
REPLY = re.compile(rf'\b([2345]\d\d),\s*("[245]\.\d+\.\d+"|NULL),\s*({STRINGS.pattern})?')
SENTENCE = re.compile(r"[A-Z][^%]* ")
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def join(literals):
    return "".join(s[1:-1] for s in re.findall(STRING, literals))


def beginning(text):
    """Up to what a format leaves open."""
    return text.split("%")[0].removesuffix("\\n").rstrip()


def find_replies(source):
    """(where, what the server says, or its beginning)"""
    told = set()
    for found in REPLY.finditer(source):
        code, enhanced, text = found.groups()
        parts = (code, "" if enhanced == "NULL" else join(enhanced), join(text or ""))
        told.add(parts[2])
        yield found.start(), beginning(" ".join(part for part in parts if part))
    for found in STRINGS.finditer(source):
        text = join(found[0])
        if SENTENCE.match(text) and text not in told:
            yield found.start(), beginning(text)


def main(root):
    root = pathlib.Path(root)
    expected = "\n".join(
        path.read_text("utf-8") for pattern in TESTS for path in sorted(root.glob(pattern))
    )
    count, complaints = 0, []
    for path in (path for pattern in SOURCES for path in sorted(root.glob(pattern))):
        source = COMMENT.sub(lambda m: "\n" * m[0].count("\n"), path.read_text("utf-8"))
        for where, said in find_replies(source):
            count += 1
            if said not in expected:
                line = source.count("\n", 0, where) + 1
                complaints.append(f"{path.relative_to(root)}:{line}: no test expects: {said}")
    return sources.report("replies", complaints, count)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
