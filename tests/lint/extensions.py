"""What EHLO announces, against the tables of README.md and man/tern.8 and against the proofs of
tests/e2e/test_extensions.py. Usage: extensions.py SOURCE_ROOT

Each extension stands in both tables, with the same RFCs and the same place, and has a proof that
it works; the tables have no others. XCLIENT, which is for proxies, is proved with them.
"""

import pathlib
import re
import sys

STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"')
KEYWORD = re.compile(r"[A-Z0-9-]{3,}\b")
README_ROW = re.compile(r"^\| ([A-Z0-9-]+) \| (.*?) \| (.*?) \| .* \|$", re.M)
MANUAL_ROW = re.compile(r"^\.It ([A-Z0-9-]+) Ta (.*?) Ta (.*?) Ta .*$", re.M)
PROOF = re.compile(r'"([A-Z0-9-]+)": \w+')


def announced(root):
    """By extensions.c; AUTH is added to it elsewhere."""
    source = (root / "smtpd/extensions.c").read_text("utf-8")
    lines = [line for text in STRING.findall(source) for line in text.split("\\n")]
    return {m[0] for line in lines if (m := KEYWORD.match(line))} | {"AUTH"}


def table(path, row):
    return {name: (rfc, where) for name, rfc, where in row.findall(path.read_text("utf-8"))}


def main(root):
    root = pathlib.Path(root)
    names = announced(root)
    readme = table(root / "README.md", README_ROW)
    manual = table(root / "man/tern.8", MANUAL_ROW)
    proofs = (root / "tests/e2e/test_extensions.py").read_text("utf-8")
    proofs = set(PROOF.findall(proofs[proofs.index("PROOFS = {") :])) | {"XCLIENT"}
    complaints = []
    for what, found in (
        ("README.md", set(readme)),
        ("man/tern.8", set(manual)),
        ("the proofs", proofs),
    ):
        complaints += [f"{what}: {name} is missing" for name in sorted(names - found)]
        complaints += [f"{what}: {name} is not announced" for name in sorted(found - names)]
    for name in sorted(names & set(readme) & set(manual)):
        if readme[name] != manual[name]:
            complaints.append(f"{name}: {readme[name]} in README.md, {manual[name]} in man/tern.8")
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
