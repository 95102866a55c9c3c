# SPDX-License-Identifier: Apache-2.0
"""The command `ifc`: help, completion, exit statuses, and how words become values."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Annotated

import pytest
import typer
from tools.bare_python import PACKAGE, run_tool
from typer.main import get_command

from ifc.cli import main as cli
from ifc.cli.program import KEYS_LAST, ConfigKeys, SeveralValues, one_clear_error, positive
from ifc.version import __version__


def walk(command: typer.core.TyperCommand, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of a command and of all below it."""
    yield words
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, *words, name)


COMMANDS = list(walk(get_command(cli.app)))


def test_the_commands_are_there():
    names = {words[0] for words in COMMANDS if len(words) == 1}
    of_models = {"train", "eval", "export", "plot", "strip", "analyze", "benchmark"}
    of_videos = {"segment", "batch", "view", "app", "merge"}
    assert names == {*of_models, *of_videos, "data", "info", "install-detectron2", "demo"}
    of_data = {words[1] for words in COMMANDS if words[:1] == ("data",) and len(words) == 2}
    assert of_data == {"check", "split", "convert", "shapes", "clips", "long", "submit", "compare"}


def test_every_help_is_quick_to_load_and_has_an_example(tmp_path):
    """One process prints them all and has loaded none of what takes time."""
    code = f"""
        import sys
        from ifc.cli.main import main
        for words in {COMMANDS}:
            print("\\0" + " ".join(words))
            try:
                main([*words, "--help"])
            except SystemExit as end:
                sys.exit(f"{{words}}: {{end.code}}")
        slow = {{"torch", "numpy", "av", "cv2", "detectron2", "matplotlib", "rich", "gradio"}} & sys.modules.keys()
        assert not slow, slow
        """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    helps = dict(text.split("\n", 1) for text in ended.stdout.split("\0")[1:])
    assert helps.keys() == {" ".join(words) for words in COMMANDS}
    for words, text in helps.items():
        usage, _, rest = text.partition("\n")
        assert usage.lower().startswith(f"usage: ifc {words}".rstrip())
        program = "python projects/IFC/demo.py" if words == "demo" else f"  ifc {words} "
        assert program in rest or "Commands:" in rest, words


@pytest.mark.parametrize(("word", "completion"), [("da", "data"), ("data sp", "split"), ("eval --res", "--results")])
def test_completion(word, completion):
    words = f"ifc {word}"
    environment = {"_IFC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-c", "from ifc.cli.main import main; main()"]
    environment |= os.environ | {"PYTHONPATH": str(PACKAGE)}
    assert subprocess.run(command, env=environment, capture_output=True, text=True).stdout.split() == [completion]


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"ifc {__version__}\n"


@pytest.mark.parametrize("words", ["", "nonsense", "data", "eval --gt", "eval --nonsense", "data compare a"])
def test_what_makes_no_sense_is_status_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(words.split())
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err and printed.out + printed.err


def test_python_m_ifc(tmp_path):
    assert run_tool("ifc", tmp_path, "--version").stdout == f"ifc {__version__}\n"


def test_an_interrupt_is_status_130(monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("ifc.ytvis.ground_truth.read_ground_truth", interrupted)
    with pytest.raises(SystemExit) as end:
        cli.main(["eval", "--gt", "a.json", "--results", "b.json"])
    assert end.value.code == 130


def test_a_missing_detectron2_is_one_line_with_the_command_that_mends_it(tmp_path):
    (tmp_path / "model.pth").touch()
    ended = run_tool("ifc", tmp_path, "strip", "model.pth", "small.pth", unblocked="torch fvcore")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and "ifc install-detectron2" in line


@pytest.fixture
def run():
    """Runs a command of lists and keys; returns their values."""
    app, taken = typer.Typer(pretty_exceptions_enable=False), []

    @app.command(cls=SeveralValues, context_settings=KEYS_LAST)
    @one_clear_error()
    def command(
        masks: Annotated[list[int], typer.Option(parser=positive)] = (12, 100),
        name: str = "",
        keys: ConfigKeys = (),
    ) -> None:
        taken.append((list(masks), name, list(keys)))

    def run(*words):
        app(list(words), standalone_mode=False)
        return taken.pop()

    return run


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("", ([12, 100], "", [])),
        ("--masks 1", ([1], "", [])),
        ("--masks 1 2 3 --name a", ([1, 2, 3], "a", [])),
        ("--masks 1 --masks 2 3", ([1, 2, 3], "", [])),
        ("--masks=1 --name a KEY VALUE", ([1], "a", ["KEY", "VALUE"])),
        ("--name a KEY -1 --masks 2", ([12, 100], "a", ["KEY", "-1", "--masks", "2"])),
    ],
)
def test_lists_and_keys(run, words, values):
    assert run(*words.split()) == values


@pytest.mark.parametrize("words", ["--masks", "--masks --name a", "--masks 1 0", "--masks 1 x"])
def test_lists_that_make_no_sense(run, words):
    with pytest.raises(typer.BadParameter.__mro__[1]):  # of all that is wrong with words
        run(*words.split())
