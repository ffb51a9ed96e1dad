"""Drawings as SVG text: bars with their spread, and curves. Nothing but strings and a little arithmetic."""
import html
import math

COLOURS = ["#1f6feb", "#d9730d", "#2da44e", "#8250df", "#bf3989", "#6e7781"]
INK, GREY, FAINT = "#24292f", "#57606a", "#d0d7de"
FONT = 'font-family="sans-serif"'


def text(x, y, words, size=13, anchor="start", colour=INK, more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" {FONT} font-size="{size}" text-anchor="{anchor}" fill="{colour}"{more}>'
            f"{html.escape(str(words))}</text>")


def line(x1, y1, x2, y2, colour=FAINT, width=1.0, dash=""):
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"'
            f' stroke-width="{width}"{dashes}/>')


def page(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n")


def short(value):
    """A number for an axis: 1500 is 1.5k."""
    if value == 0:
        return "0"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def step(most, count=5):
    """A round distance of about `count` marks up to `most`."""
    rough = most / count
    size = 10 ** math.floor(math.log10(rough))
    return next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)


def legend(names, x, y):
    parts = []
    for index, name in enumerate(names):
        parts.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{COLOURS[index % len(COLOURS)]}"/>')
        parts.append(text(x + 17, y, name))
        x += 32 + 8 * len(name)
    return parts


def bars(groups, title):
    """`groups`: (label, [(name, median, least, most)]). A line stands at 1."""
    names = list(dict.fromkeys(bar[0] for _, found in groups for bar in found))
    most = max([bar[3] for _, found in groups for bar in found] + [1]) * 1.05
    left, top, thick, gap, wide = 170, 62, 16, 14, 560
    height = top + sum(len(found) * thick + gap for _, found in groups) + 40
    at = lambda value: left + wide * min(value, most) / most  # noqa: E731
    parts = [text(left, 22, title, 14), *legend(names, left, 44)]
    distance = step(most)
    for mark in range(int(most / distance) + 1):
        parts += [line(at(mark * distance), top - 4, at(mark * distance), height - 34),
                  text(at(mark * distance), height - 18, f"{mark * distance:g}", 12, "middle", GREY)]
    y = top
    for label, found in groups:
        parts.append(text(left - 8, y + len(found) * thick / 2 + 5, label, 13, "end"))
        for name, middle, low, high in found:
            colour = COLOURS[names.index(name) % len(COLOURS)]
            parts.append(f'<rect x="{left}" y="{y + 1}" width="{at(middle) - left:.1f}" height="{thick - 3}"'
                         f' fill="{colour}"/>')
            parts.append(line(at(low), y + thick / 2 - 0.5, at(high), y + thick / 2 - 0.5, INK, 1.4))
            parts.append(text(at(high) + 5, y + thick / 2 + 4, f"{middle:.2f}", 12))
            y += thick
        y += gap
    parts.append(line(at(1), top - 4, at(1), height - 34, INK, 1.2, "5 3"))
    return page(left + wide + 60, height, parts)


def curves(panels):
    """`panels`: (title, below the x axis, {name: [(x, y)]}). The x axis is logarithmic, y begins at 0."""
    names = list(dict.fromkeys(name for _, _, found in panels for name in found))
    wide, tall, left, top = 300, 180, 62, 70
    width = len(panels) * (wide + left + 18) + 10
    parts = legend(names, left, 22)
    for number, (title, below, found) in enumerate(panels):
        x0 = left + number * (wide + left + 18)
        parts.append(text(x0, top - 14, title, 13))
        parts += panel(x0, top, wide, tall, below, found, names)
    return page(width, top + tall + 58, parts)


def panel(x0, top, wide, tall, below, found, names):
    points = [point for line_ in found.values() for point in line_]
    if not points:
        return []
    low, high = (math.log10(pick(x for x, _ in points)) for pick in (min, max))
    most = max(y for _, y in points) * 1.08 or 1
    across = lambda x: x0 + wide * (math.log10(x) - low) / ((high - low) or 1)  # noqa: E731
    up = lambda y: top + tall - tall * y / most  # noqa: E731
    parts = []
    for mark in range(int(most / step(most, 4)) + 1):
        y = mark * step(most, 4)
        parts += [line(x0, up(y), x0 + wide, up(y)), text(x0 - 6, up(y) + 4, short(y), 11, "end", GREY)]
    for x in sorted({x for x, _ in points}):
        parts += [line(across(x), top + tall, across(x), top + tall + 4, GREY),
                  text(across(x), top + tall + 18, short(x), 11, "middle", GREY)]
    parts.append(text(x0 + wide / 2, top + tall + 40, below, 12, "middle", GREY))
    for name, drawn in found.items():
        colour = COLOURS[names.index(name) % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in drawn)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"/>' for x, y in drawn]
    return parts
