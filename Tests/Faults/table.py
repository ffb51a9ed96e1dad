"""The table of fault cases in docs/testing.md: every case has a row, and every test that is named is there."""
import os
import re

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PAGE = os.path.join(ROOT, "docs", "testing.md")
BEGIN, END = "<!-- begin of the table of faults -->", "<!-- end of the table of faults -->"
CASES = 64


def rows():
    """Case -> the last column; None without a table."""
    with open(PAGE) as page:
        text = page.read()
    if BEGIN not in text or END not in text:
        return None
    lines = text.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    cells = [line.strip().strip("|").split(" | ") for line in lines]
    return {int(row[0]): row[-1] for row in cells}


def problems(tests):
    """What is wrong, one sentence each."""
    found = rows()
    if found is None:
        return [f"docs/testing.md has no {BEGIN}"]
    wrong = [f"docs/testing.md has no row of fault {number}" for number in range(1, CASES + 1) if number not in found]
    own = {test.name: test.numbers for test in tests}
    files = {name.split(".")[0] for name in own}
    named = set()
    for number, cell in found.items():
        for name in re.findall(r"`([A-Za-z]+(?:\.[A-Za-z_0-9]+)+)`", cell):
            if name.split(".")[0] in files:
                named.add(name)
                if name not in own:
                    wrong.append(f"docs/testing.md names the test {name}, which is not there")
                elif number not in own[name]:
                    wrong.append(f"docs/testing.md names {name} for fault {number}, which it is not for")
            elif not is_elsewhere(name):
                wrong.append(f"docs/testing.md names the test {name}, which is not there")
        for script in re.findall(r"`(scripts/[a-z-]+)", cell):
            if not os.path.exists(os.path.join(ROOT, script)):
                wrong.append(f"docs/testing.md names {script}, which is not there")
    return wrong + [f"docs/testing.md does not name {name}" for name in sorted(set(own) - named)]


def is_elsewhere(name):
    """FILE.test of Tests/Delivery, Tests/Hostile or Tests/Crash, or Target.Suite.test of a Swift target."""
    *folder, file, test = name.split(".")
    if folder:
        places = [(os.path.join("Tests", folder[0], file + ".swift"), f"func {test}(")]
    else:
        places = [(f"Tests/{where}/{file}.py", f"def {test}(") for where in ("Delivery", "Hostile", "Crash")]
    for path, words in places:
        whole = os.path.join(ROOT, path)
        if os.path.exists(whole):
            with open(whole) as source:
                if words in source.read():
                    return True
    return False
