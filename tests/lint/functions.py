"""Functions that we do not call. Usage: functions.py SOURCE_ROOT"""

import re
import sys

import sources

FORBIDDEN = {
    "strcpy": "struct view and struct buf",
    "stpcpy": "struct view and struct buf",
    "strcat": "struct view and struct buf",
    "strncat": "struct view and struct buf",
    "strncpy": "struct view and struct buf",
    "sprintf": "buf_printf",
    "vsprintf": "buf_vprintf",
    "strtok": "the take family of views",
    "strtok_r": "the take family of views",
    "atoi": "view_to_u64",
    "atol": "view_to_u64",
    "atoll": "view_to_u64",
    "gets": "a struct buf",
    "alloca": "a struct buf or an arena",
    "system": "nothing: we run no shell",
    "popen": "nothing: we run no shell",
}

# Comments, strings and characters; what is left is code. None of them is empty afterwards,
# so that words do not grow together, and all keep their line ends.
NOT_CODE = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S
)
CALL = re.compile(r"\b(" + "|".join(FORBIDDEN) + r")\s*\(")


def blank(match):
    return " " + "\n" * match.group().count("\n")


def complain(path, text):
    code = NOT_CODE.sub(blank, text)
    for match in CALL.finditer(code):
        line = code.count("\n", 0, match.start()) + 1
        name = match.group(1)
        yield f"{path}:{line}: {name}() is forbidden; use {FORBIDDEN[name]}"


def main(root):
    complaints = []
    seen = 0
    for _, path, text in sources.files(root):
        complaints += complain(path, text)
        seen += 1
    return sources.report("functions", complaints, seen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
