"""The table of delivery features in docs/protocol.md names tests: each must be there, and each file must be named."""
import os
import re

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "protocol.md")
BEGIN, END = "<!-- begin of the table of delivery features -->", "<!-- end of the table of delivery features -->"


def named():
    """The tests that the last column of the table names."""
    with open(PAGE) as page:
        text = page.read()
    if BEGIN not in text or END not in text:
        return None
    rows = text.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`([a-z_]+\.[a-z_0-9]+)`", row.rstrip(" |").split("|")[-1])]


def problems(tests):
    names = named()
    if names is None:
        return [f"docs/protocol.md has no {BEGIN}"]
    there = {name.split("[")[0] for name in tests}
    wrong = [f"docs/protocol.md names the test {name}, which is not there" for name in names if name not in there]
    files = {name.split(".")[0] for name in there}
    silent = files - {name.split(".")[0] for name in names}
    return wrong + [f"docs/protocol.md names no test of {file}.py" for file in sorted(silent)]
