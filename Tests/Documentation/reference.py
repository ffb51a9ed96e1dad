"""What scripts/docs does beside calling docc. Usage:

reference.py complete GRAPH...         fails if a symbol in these symbol graphs has no comment
reference.py catalogs DIR [BASE-URL]   the catalogs of all libraries, with the guides of docs/ in that of BrokerClient
reference.py examples FILE GRAPH...    all code of comments and guides as one Swift file, to be compiled
"""

import json
import pathlib
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARIES = ["BrokerClient", "BrokerClientJSON", "BrokerClientSQLite", "BrokerTesting"]
GUIDES = [ROOT / "docs/client.md", *sorted((ROOT / "docs/client").glob("*.md"))]


def complete(graphs):
    count = 0
    missing = []
    for graph in graphs:
        for symbol in json.loads(pathlib.Path(graph).read_text())["symbols"]:
            name = ".".join(symbol["pathComponents"])
            # What a property wrapper makes has no line of its own.
            if symbol["pathComponents"][-1].startswith("$"):
                continue
            count += 1
            if not any(line["text"].strip() for line in symbol.get("docComment", {}).get("lines", [])):
                place = symbol.get("location", {})
                line = place.get("position", {}).get("line", -1) + 1
                missing.append(f"{place.get('uri', '').removeprefix('file://')}:{line}: {name} has no comment")
    for line in missing:
        print(line)
    print(f"{count - len(missing)} of {count} public symbols are documented")
    return 0 if count and not missing else 1


# Guides


def slug(heading):
    """As the web shows headings of Markdown in addresses."""
    return "".join(c for c in heading.lower() if c.isalnum() or c in " -_").replace(" ", "-")


def headings(text):
    outside = re.sub(r"(?s)```.*?```", "", text)
    return [m.group(1).strip() for m in re.finditer(r"(?m)^#+ (.*)$", outside)]


def article(guide):
    """Its name as an article. Not the file's own: docc would take `once` and `Once` for the same page."""
    return "guide-" + guide.stem


def with_links(text, guide, base):
    """Links to other guides as docc wants them, links to other files as addresses, or as words."""

    def link(match):
        words, target = match.groups()
        if "://" in target:
            return match.group(0)
        path, _, anchor = target.partition("#")
        file = (guide.parent / path).resolve() if path else guide
        if file not in GUIDES:
            place = file.relative_to(ROOT)
            return f"[{words}]({base}/{place})" if base else f"{words} ({place})"
        if not anchor:
            return f"[{words}](doc:{article(file)})"
        heading = next(h for h in headings(file.read_text()) if slug(h) == anchor)
        return f"[{words}](doc:{article(file)}#{heading.replace(' ', '-')})"

    parts = re.split(r"(?s)(```.*?```)", text)
    return "".join(
        part if part.startswith("```") else re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", link, part) for part in parts
    )


def catalogs(directory, base=""):
    directory = pathlib.Path(directory)
    for library in LIBRARIES:
        catalog = directory / f"{library}.docc"
        shutil.copytree(ROOT / f"Sources/{library}/{library}.docc", catalog)
        if library == "BrokerClient":
            for guide in GUIDES:
                text = with_links(guide.read_text(), guide, base.rstrip("/"))
                (catalog / f"{article(guide)}.md").write_text(text)
    return 0


# Code


def code_of_comments(graph):
    """(file, line, code) for each block of code in the comments of public symbols: indented, or fenced as Swift."""
    for symbol in json.loads(pathlib.Path(graph).read_text())["symbols"]:
        comment = symbol.get("docComment", {})
        file = comment.get("uri", "").removeprefix("file://")
        # Inherited from the standard library, whose examples are not ours.
        if not file.startswith(str(ROOT)):
            continue
        block, start, fence = None, 0, None
        for line in [*comment.get("lines", []), {"text": "."}]:
            words, number = line["text"], line.get("range", {}).get("start", {}).get("line", -1) + 1
            if fence is not None:
                if not words.startswith("```"):
                    block.append(words)
                    continue
                if fence == "swift":
                    yield file, start, "\n".join(block)
                block, fence = None, None
            elif words.startswith("```"):
                block, start, fence = [], number + 1, words[3:].strip() or "swift"
            elif words.startswith("    "):
                if block is None:
                    block, start = [], number
                block.append(words[4:])
            elif words == "" and block:
                block.append("")
            elif block is not None:
                yield file, start, "\n".join(block)
                block = None


def code_of_guide(path):
    """(line, code) of the same kind. Left out are manifests, and what says in its first line that it needs other packages."""
    text = path.read_text()
    for match in re.finditer(r"(?s)```swift\n(.*?)```", text):
        if not match.group(1).startswith(("// Package.swift", "// swift-tools-version", "// Needs ")):
            yield text.count("\n", 0, match.start(1)) + 1, match.group(1)


def examples(file, graphs):
    # Who fulfils a protocol may have inherited its comment.
    blocks = sorted({block for graph in graphs for block in code_of_comments(graph)})
    # The tutorial's code is that of Examples, which is compiled there; Tests/HouseTests holds it to that.
    blocks += [(guide, line, code) for guide in GUIDES if guide.stem != "tutorial" for line, code in code_of_guide(guide)]
    imports, functions = set(), []
    for number, (path, line, code) in enumerate(blocks, 1):
        place = f'#sourceLocation(file: "{pathlib.Path(path).relative_to(ROOT)}", line: {line})'
        lines = [l if not l.startswith("import ") else imports.add(l) or "" for l in code.splitlines()]
        # The rest that the reader is to think of.
        body = "\n".join(lines).replace("…", "")
        whole = any(re.match(r"(@main|extension|@Test)\b", l) for l in lines)
        body = re.sub(r"@main ", "", body)
        if whole:
            functions.append(f"{place}\n{body}\n#sourceLocation()")
        else:
            functions.append(f"func example{number}() async throws {{\n{place}\n{body}\n#sourceLocation()\n}}")
    pathlib.Path(file).write_text("\n".join([*sorted(imports), *functions]) + "\n")
    print(f"{len(blocks)} examples in comments and guides")
    return 0 if blocks else 1


COMMANDS = {
    "complete": lambda *graphs: complete(graphs),
    "catalogs": catalogs,
    "examples": lambda file, *graphs: examples(file, graphs),
}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]))
