"""Commands and their output as a picture (SVG) of a terminal, in light and dark. No script, no font of its own."""

import sys
from xml.sax.saxutils import escape

from common import ROOT, Failure
from terminal import COLUMNS

CHARACTER, LINE, GAP, MARGIN = 7.9, 17, 7, 16
TYPING, READING, AFTER = 0.02, 0.3, 0.9  # seconds: a character, a line of output, between commands
COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"]  # as terminals number them

STYLE = """\
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace }
text { white-space: pre; fill: #1f2328 }
rect { fill: #f6f8fa; stroke: #d1d9e0 }
.bold { font-weight: bold } .comment, .prompt { fill: #57606a }
.red { fill: #cf222e } .green { fill: #1a7f37 } .yellow { fill: #9a6700 } .cyan, .blue { fill: #0969da }
.magenta { fill: #8250df }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } rect { fill: #0d1117; stroke: #3d444d } .comment, .prompt { fill: #9198a1 }
.red { fill: #ff7b72 } .green { fill: #3fb950 } .yellow { fill: #d29922 } .cyan, .blue { fill: #58a6ff }
.magenta { fill: #bc8cff }
}
"""

# Without motion, and in a program that knows no animation, everything is visible from the start.
MOTION = """\
@media (prefers-reduced-motion: no-preference) {
text { animation: show 1ms var(--at) backwards } .typed { animation: type var(--for) steps(var(--n)) var(--at) backwards }
}
@keyframes show { from { opacity: 0 } }
@keyframes type { from { clip-path: inset(-4px 100% -4px 0) } to { clip-path: inset(-4px 0 -4px 0) } }
"""


def colours(output):
    """The lines of an output, each a list of (text, classes), from the colours of the terminal."""
    sys.path.append(str(ROOT / ".cache" / "tools" / "rich"))
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        raise Failure("rich is missing: run `make rich`") from None
    console = Console(color_system="standard", force_terminal=True)
    for line in Text.from_ansi(output.removesuffix("\n")).split("\n", allow_blank=True):
        for row in line.divide(range(COLUMNS, len(line), COLUMNS)):  # as a terminal does it: in the middle of a word
            yield [(part.text, classes(part.style)) for part in row.render(console) if part.text != "\n"]


def classes(style):
    if not style:
        return ""
    names = ["bold"] if style.bold else []
    if style.color and style.color.number is not None:
        names.append(COLOURS[style.color.number % len(COLOURS)])
    return " ".join(names)


def spans(parts):
    return "".join(f'<tspan class="{names}">{escape(text)}</tspan>' if names else escape(text) for text, names in parts)


def lines(scenes):
    """(content, classes, when it appears, how long it is typed, how many characters) of each line."""
    time = 0.5
    for command, output in scenes:
        comment = command.startswith("#")
        parts = [(command, "comment")] if comment else [("$ ", "prompt"), (command, "bold")]
        typing = len(command) * TYPING
        yield spans(parts), "typed", time, typing, sum(len(text) for text, _ in parts)
        time += typing + READING
        for line in colours(output) if output else []:
            yield spans(line), "", time, 0, 0
            time += READING / 4
        time += AFTER


def picture(title, scenes, moving=False):
    rows, y = [], MARGIN + LINE - 5
    for content, kind, at, typing, count in lines(scenes):
        y += GAP if kind and rows else 0
        attributes = f' class="{kind}"' if kind and moving else ""
        if moving:
            attributes += f' style="--at:{at:.1f}s' + (f";--for:{typing:.1f}s;--n:{count}" if kind else "") + '"'
        rows.append(f'<text x="{MARGIN}" y="{y}"{attributes}>{content}</text>')
        y += LINE
    width, height = round(COLUMNS * CHARACTER + 2 * MARGIN), y - LINE + MARGIN
    return "\n".join(
        [
            f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{STYLE}{MOTION if moving else ''}</style>",
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="6"/>',
            *rows,
            "</svg>",
            "",
        ]
    )
