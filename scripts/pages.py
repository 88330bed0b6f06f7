"""The Markdown pages of the site: what they link to, their titles, and their order in the table of contents."""

import os
import re
import sys
from pathlib import Path

from common import ROOT, Failure

START = "README.md"  # the start page
CHANGES = "CHANGELOG.md"  # a page that none needs to link to
INDEX = "docs/README.md"  # its order is that of the site: a heading is a part, a link under it is a page of that part
FIRST_PART = "Tutorial"  # the pages that INDEX links to before its first heading
LAST_PART = "Project"  # the pages outside docs/ that INDEX does not link to
PICTURES = {".svg", ".png"}


def parser():
    """The Markdown parser, from its wheel: `make markdown-it` fetches it."""
    sys.path.append(str(ROOT / ".cache" / "tools" / "markdown-it"))
    try:
        from markdown_it import MarkdownIt
    except ImportError:
        raise Failure("markdown-it-py is missing: run `make markdown-it`") from None
    return MarkdownIt("commonmark").enable("table")


def targets(token):
    """What a link, a picture or an HTML tag refers to."""
    if token.type in ("html_inline", "html_block"):
        yield from re.findall(r'\b(?:href|src|srcset)="([^"]*)"', token.content)
    yield from (token.attrs[name] for name in ("href", "src") if name in token.attrs)
    for child in token.children or []:
        yield from targets(child)


class Page:
    """A page, and the paths it links to, relative to the top of the repository."""

    def __init__(self, path, markdown):
        self.path = path
        self.tokens = markdown.parse((ROOT / path).read_text())
        self.links = [link for token in self.tokens for link in self.linked(token)]
        first = [token.type for token in self.tokens[:2]] == ["heading_open", "inline"]
        self.title = "".join(child.content for child in self.tokens[1].children) if first else path

    def linked(self, token):
        for target in targets(token):
            if "://" in target or target.startswith(("#", "mailto:")):
                continue
            file = os.path.normpath(os.path.join(os.path.dirname(self.path), target.partition("#")[0]))
            if file.startswith("..") or not (ROOT / file).exists():
                raise Failure(f"{self.path} links to {target}, which does not exist: correct the link, or add the file")
            yield file


def all_pages():
    """The start page, the index, the changes, and every page that a link leads to from there, by path."""
    markdown, pages, waiting = parser(), {}, [START, INDEX, CHANGES]
    while waiting:
        path = waiting.pop(0)
        if not (ROOT / path).is_file():
            raise Failure(f"there is no {path}: this is not a complete checkout of the source")
        if path not in pages:
            pages[path] = Page(path, markdown)
            waiting += [link for link in pages[path].links if link.endswith(".md")]
    lost = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")} - pages.keys()
    if lost:
        raise Failure(f"no page links to {min(lost)}: add it to {INDEX}")
    return pages


def parts(pages):
    """(title, paths) of each part of the site. A page is in the last part that names it."""
    named, titles = {}, [FIRST_PART]
    heading = False
    for token in pages[INDEX].tokens:
        if heading:
            titles.append(token.content)
        else:
            named.update({link: titles[-1] for link in pages[INDEX].linked(token) if link in pages})
        heading = token.type == "heading_open" and token.tag == "h2"
    for path in sorted(pages, key=lambda path: (path.count("/"), path)):
        if path in named or path in (START, INDEX):
            continue
        folder = f"{os.path.dirname(path)}/README.md"
        if path.startswith("docs/") and folder not in named:
            raise Failure(f"{INDEX} names neither {path} nor {folder}: add one of them to the part of its kind")
        named[path] = named.get(folder, LAST_PART)
    return [(title, [path for path in named if named[path] == title]) for title in [*titles, LAST_PART]]


def summary(pages):
    """SUMMARY.md of mdbook. The pages beside a README.md stand below it."""

    def line(path, depth=0):
        title = re.sub(r"([][*_`<])", r"\\\1", pages[path].title)
        return f"{'  ' * depth}- [{title}]({path})"

    lines = ["# Summary", "", line(START)[2:], line(INDEX)[2:]]
    for title, paths in parts(pages):
        lines += ["", f"# {title}", ""]
        folders = {os.path.dirname(path): path for path in paths if path.endswith("/README.md")}
        below = {path: folders.get(os.path.dirname(path), path) for path in paths}
        for path in (path for path in paths if below[path] == path):
            lines.append(line(path))
            lines += [line(child, 1) for child in paths if below[child] == path and child != path]
    return "\n".join([*lines, ""])


def files(pages):
    """The pictures, and the other files and folders, that the pages link to."""
    linked = {link for page in pages.values() for link in page.links} - pages.keys()
    pictures = {link for link in linked if Path(link).suffix in PICTURES}
    return sorted(pictures), sorted(linked - pictures)
