# SPDX-License-Identifier: Apache-2.0
"""Every command and every Python example of the documentation runs, page by page in one folder, as a reader would.

In this process, as far as they are programs of this repository: a Python of its own for each would take a minute more.
"""

import glob
import logging
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from docs.pages import DOCS, blocks, page_names
from docs.reader import what_a_reader_brings
from typer.main import get_command

from ifc.cli.main import app, main

ROOT = DOCS.parent
SHELL = {"cat", "cp", "ls", "mkdir"}  # programs of the system that a page may call
TO_RUN = {page: [block for block in blocks(page) if block.is_run] for page in page_names()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A checkout with what the reader brings: one folder for all pages."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("configs", "projects", "tools"):
        (root / name).symlink_to(ROOT / name)
    what_a_reader_brings(root)
    return root


@pytest.fixture
def in_folder(folder, monkeypatch):
    """The folder as the current one; what a training does to this process ends with the test."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    loggers = [logging.getLogger(name) for name in ("detectron2", "fvcore", "ifc")]
    before = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    random_state, threads = torch.get_rng_state(), torch.get_num_threads()
    yield
    for logger, handlers, propagate, level in before:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
    torch.set_rng_state(random_state)
    torch.set_num_threads(threads)


def commands(code: str) -> list[list[str]]:
    """The words of each command. A backslash at the end of a line goes on with it; patterns stand for files."""
    lines = [shlex.split(line, comments=True) for line in code.replace("\\\n", " ").splitlines()]
    return [[file for word in words for file in (sorted(glob.glob(word)) or [word])] for words in lines if words]


def run(words: list[str]) -> None:
    """Run a command; one that fails raises."""
    program, *arguments = words
    if program == "ifc":
        main(arguments)
    elif program == "python":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", arguments)
            try:
                runpy.run_path(arguments[0], run_name="__main__")
            except SystemExit as end:
                assert not end.code, end.code
    else:
        assert program in SHELL, f"{program}: neither ifc nor python nor one of {SHELL}"
        subprocess.run(words, check=True)


def unknown(words: list[str]) -> list[str]:
    """Those of the words behind `ifc` that are neither a command nor one of its options."""
    command, words = get_command(app), words[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    options = {
        "-h",
        "--help",
        *(name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)),
    }
    is_no_command = bool(getattr(command, "commands", {})) and words and not words[0].startswith("-")
    return words[:1] if is_no_command else [word for word in words if word.startswith("-") and word not in options]


@pytest.mark.parametrize("page", page_names())
def test_what_a_page_names_without_running_it_exists(page):
    mentioned = [words for block in blocks(page) if block.language == "sh" for words in commands(block.code)]
    mentioned += [shlex.split(code) for code in re.findall(r"`(ifc [^`]+)`", (DOCS / f"{page}.md").read_text())]
    for words in mentioned:
        if words[0] == "ifc" and words[1] != "install-detectron2":  # which has a parser of its own
            assert unknown(words) == [], " ".join(words)


@pytest.mark.parametrize("page", [page for page, to_run in TO_RUN.items() if to_run])
def test_what_a_page_says_to_run(page, in_folder):
    for block in TO_RUN[page]:
        print(f"--- {block.place}\n{block.code}")  # which pytest shows if it fails
        if block.file is not None:
            Path(block.file).write_text(block.code)
        elif block.language == "python":
            exec(compile(block.code, block.place, "exec"), {"__name__": "__main__"})
        else:
            for words in commands(block.code):
                run(words)
