"""The tests that tests/accidents.md names exist, and dialogues are run. Usage: accidents.py SOURCE_ROOT"""

import pathlib
import re
import sys

import sources

REFERENCE = re.compile(r"`((?:dialogs|unit|e2e|crash)/[^`]+)`")
NAME = "tests/accidents.md"


def is_there(tests, reference):
    path, _, name = reference.partition(": ")
    if path.startswith("dialogs/"):
        listed = (tests / "dialogs/meson.build").read_text("utf-8")
        return (tests / f"{path}.txt").exists() and f"'{pathlib.Path(path).name}'" in listed
    path = tests / path
    return path.exists() and re.search(rf"\b{name}\(", path.read_text("utf-8")) is not None


def main(root):
    root = pathlib.Path(root)
    lines = (root / NAME).read_text("utf-8").splitlines() if (root / NAME).exists() else []
    count, complaints = 0, []
    for number, line in enumerate(lines, 1):
        for reference in REFERENCE.findall(line):
            count += 1
            if not is_there(root / "tests", reference):
                complaints.append(f"{NAME}:{number}: there is no {reference}")
    return sources.report("accidents", complaints, count)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
