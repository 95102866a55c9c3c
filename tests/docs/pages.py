# SPDX-License-Identifier: Apache-2.0
"""The pages of the documentation, in the order in which a reader meets them, and the code on them."""

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

DOCS = Path(__file__).resolve().parents[2] / "docs"
LANGUAGES = {"bibtex", "json", "python", "sh", "text", "toml", "xml", "yaml"}
NOT_RUN = re.compile(r"<!-- not run: (\S.*?) -->\s*")
NAMED_FILE = re.compile(r"# (\S+\.yaml)\n")  # first line of a configuration that the reader is to write


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        place: file and line.
        language: the word behind its fence; "" if there is none.
        code: what is in it.
        reason: why the tests do not run it, as `<!-- not run: … -->` above it says; "" if nothing does.
    """

    place: str
    language: str
    code: str
    reason: str

    @property
    def file(self) -> str | None:
        """The name of the file that this is the content of, if it says so."""
        named = NAMED_FILE.match(self.code) if self.language == "yaml" else None
        return named and named[1]

    @property
    def is_run(self) -> bool:
        """Whether the tests do what it says."""
        return not self.reason and (self.language in ("python", "sh") or self.file is not None)


def page_names() -> list[str]:
    """As the tables of contents on index.md list them."""
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    lines = [line for tree in re.findall(r"```{toctree}\n(.*?)```", text, re.DOTALL) for line in tree.splitlines()]
    return ["index", *(line for line in lines if line and not line.startswith(":"))]


def blocks(page: str | Path) -> list[Block]:
    """A page's blocks of code, in order, with those of pages that it includes."""
    path = page if isinstance(page, Path) else DOCS / f"{page}.md"
    tokens = MarkdownIt().parse(path.read_text(encoding="utf-8"))
    found = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        language, _, argument = token.info.partition(" ")
        if token.type != "fence":
            continue
        if language == "{include}":
            found += blocks((path.parent / argument).resolve())
        elif not language.startswith("{"):  # MyST's other directives are no code
            marker = NOT_RUN.fullmatch(before.content) if before is not None else None
            place = f"{path.relative_to(DOCS.parent)}:{token.map[0] + 1}"
            found.append(Block(place, language, token.content, marker[1] if marker else ""))
    return found
