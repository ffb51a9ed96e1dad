"""Puts tables between two markers of docs/performance.md, and drawings beside it."""
import os

import servers

FOLDER = os.path.join(servers.brokerd.ROOT, "docs")
PATH = os.path.join(FOLDER, "performance.md")


def marks(name):
    return f"<!-- scripts/bench writes: {name} -->", f"<!-- end of: {name} -->"


def replaced(text, name, new):
    """The text with what stands between the markers of this name replaced; ValueError where there are none."""
    begin, end = marks(name)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the markers of {name} are not there once each")
    between = new.strip("\n") + "\n" if new else ""
    return text[:text.index(begin) + len(begin)] + "\n" + between + text[text.index(end):]


def write(name, new):
    with open(PATH) as file:
        text = file.read()
    with open(PATH, "w") as file:
        file.write(replaced(text, name, new))
    print(f"docs/performance.md: {name} written")


def save(name, text):
    with open(os.path.join(FOLDER, name), "w") as file:
        file.write(text)
    print(f"docs/{name} written")


def table(rows):
    """Markdown; the first row is the head."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "| --- " * len(rows[0]) + "|", *lines[1:]])
