"""Events of the log against the manual. Usage: events.py SOURCE_ROOT

Every event that can be written at level info or above is described in the section LOG of
man/tern.8, and the section describes no other. A line has each key once: no field is named
like those that every line has.
"""

import pathlib
import re
import sys

import sources

CALL = re.compile(r"\b(log_(?:info|warn|error)|LOG_AT)\s*\(")
STRING = re.compile(r'"((?:\\.|[^"\\])*)"')
FIELD = re.compile(r'\bLOG_(?:VIEW|STRING|U64|ID|ERRNO)\s*\(\s*"([^"]*)"')
FIXED = {"time", "level", "event", "process", "pid", "lines_lost"}
MANUAL = "man/tern.8"


def arguments(text, start):
    """Those of the call whose opening parenthesis ends at start, strings unharmed."""
    found = [""]
    depth = 1
    for token in re.finditer(r'"(?:\\.|[^"\\])*"|.', text[start:], re.S):
        token = token.group()
        depth += (token in "({[") - (token in ")}]")
        if depth == 0:
            return found
        if token == "," and depth == 1:
            found.append("")
        else:
            found[-1] += token
    return found


def events(text):
    """Yields (line, names, keys of fields) of every call that logs."""
    for match in CALL.finditer(text):
        call = arguments(text, match.end())
        name = call[1 if match.group(1) == "LOG_AT" else 0]
        if "#define" in text[text.rfind("\n", 0, match.start()) + 1 : match.start()]:
            continue
        line = text.count("\n", 0, match.start()) + 1
        yield line, STRING.findall(name), FIELD.findall(",".join(call[1:]))


def described(manual):
    section = re.search(r"^\.Sh LOG$(.*?)^\.Sh ", manual, re.M | re.S)
    return re.findall(r"^\.It Ic (\S+)$", section.group(1), re.M) if section else []


def main(root):
    complaints = []
    logged = {}
    for _, path, text in sources.files(root):
        for line, names, keys in events(text):
            if not names:
                complaints.append(f"{path}:{line}: the event has no name that can be read here")
            for name in names:
                logged.setdefault(name, f"{path}:{line}")
            for key in FIXED.intersection(keys):
                complaints.append(f'{path}:{line}: every line has a "{key}" already')
    manual = described((pathlib.Path(root) / MANUAL).read_text(encoding="utf-8"))
    for name in sorted(logged.keys() - set(manual)):
        complaints.append(f"{logged[name]}: {name} is not in {MANUAL}")
    for name in sorted(set(manual) - logged.keys()):
        complaints.append(f"{MANUAL}: nothing logs {name}")
    for name in sorted(name for name in set(manual) if manual.count(name) > 1):
        complaints.append(f"{MANUAL}: {name} stands there twice")
    return sources.report("events", complaints, len(logged))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
