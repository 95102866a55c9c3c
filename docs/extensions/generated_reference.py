# SPDX-License-Identifier: Apache-2.0
"""Sphinx directives that write reference pages from the code: {config-keys} and {command-help}."""

import ast
import importlib
import io
import re
import tokenize
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CONFIG = Path(__file__).parents[2] / "projects" / "IFC" / "ifc" / "config.py"
HELP_WIDTH = 100  # characters, for which a page has room
TITLE_WORDS = 2  # a comment of so many words at most, on a line of its own, is a title


def config_tables(source: str) -> str:
    """The keys that `add_ifc_config` sets, their defaults and the comments on them, as Markdown.

    Args:
        source: a module with one function of the lines `cfg.KEY = default  # meaning`. A comment above a key that has
            none of its own is its meaning; above others it introduces those that follow.
    """
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    (function,) = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    markdown, is_in_table = ["## Classes"], False
    for before, node in zip(function.body, function.body[1:], strict=False):
        lines = [comments[line] for line in range(before.end_lineno + 1, node.lineno) if line in comments]
        meaning = " ".join(comments[line] for line in range(node.lineno, node.end_lineno + 1) if line in comments)
        if lines and len(lines[0].split()) <= TITLE_WORDS:
            markdown, is_in_table = [*markdown, "", f"## {lines.pop(0)}"], False
        above = " ".join(lines)
        if above and not meaning and not _is_node(node):
            meaning = above
        elif above:
            markdown, is_in_table = [*markdown, "", _escaped(above)], False
        if not isinstance(node, ast.Assign) or _is_node(node):
            continue
        if not is_in_table:
            markdown, is_in_table = [*markdown, "", "| key | default | meaning |", "|---|---|---|"], True
        name, default = (ast.unparse(part) for part in (node.targets[0], node.value))
        markdown.append(f"| `{name.removeprefix('cfg.')}` | `{default}` | {_escaped(meaning)} |")
    return "\n".join(markdown)


def _is_node(node: ast.stmt) -> bool:
    """Whether it makes a node of the configuration, which is no key."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


class ConfigKeys(SphinxDirective):
    """All keys of the configuration."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(CONFIG))
        return self.parse_text_to_nodes(config_tables(CONFIG.read_text(encoding="utf-8")), allow_section_headings=True)


class CommandHelp(SphinxDirective):
    """What `--help` of every command of `ifc` says."""

    def run(self) -> list[nodes.Node]:
        from typer.main import get_command

        text = command_help(get_command(importlib.import_module("ifc.cli.main").app), "ifc")
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def command_help(command, name: str) -> str:
    """The help of a command and of its subcommands, as Markdown."""
    import click

    context = click.Context(command, info_name=name, **command.context_settings | {"terminal_width": HELP_WIDTH})
    parts = [f"## `{name}`\n\n```text\n{command.get_help(context)}\n```"]
    subcommands = getattr(command, "commands", {}).items()
    parts += [command_help(sub, f"{name} {word}") for word, sub in subcommands if not sub.hidden]
    return "\n\n".join(parts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_directive("config-keys", ConfigKeys)
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
