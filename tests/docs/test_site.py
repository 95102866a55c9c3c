# SPDX-License-Identifier: Apache-2.0
"""The site builds without a warning, and what is generated for it is of this code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from detectron2.config import CfgNode, get_cfg
from docs.pages import DOCS, LANGUAGES, blocks, page_names

from ifc.config import add_ifc_config

FIGURES = DOCS / "figures"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built pages."""
    output = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", str(DOCS), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"DETECTRON2_DATASETS": "datasets"})
    assert done.returncode == 0, done.stderr
    return output


def leaves(node: CfgNode, prefix: str = "") -> set[str]:
    """The full names of a configuration's keys."""
    return {
        name
        for key, value in node.items()
        for name in (leaves(value, f"{prefix}{key}.") if isinstance(value, CfgNode) else {f"{prefix}{key}"})
    }


def test_every_page_is_in_the_table_of_contents(site):
    written = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    assert set(page_names()) == written
    assert all((site / f"{page}.html").is_file() for page in written)


def test_links_between_pages_and_to_their_parts_lead_somewhere(site):
    pages = {path.name: path.read_text(encoding="utf-8") for path in site.glob("*.html")}
    ids = {name: set(re.findall(r'id="([^"]+)"', text)) for name, text in pages.items()}
    for name, text in pages.items():
        for target, part in re.findall(r'href="([^"#:?]*)(?:#([^"]*))?"', text):
            path = site / name if not target else site / target
            assert path.exists(), f"{name}: {target}"
            assert not part or path.suffix != ".html" or part in ids[path.name], f"{name}: {target}#{part}"


def test_reference_has_every_key_that_ifc_adds(site):
    cfg, text = get_cfg(), (site / "configuration.html").read_text(encoding="utf-8")
    before = leaves(cfg)
    add_ifc_config(cfg)
    added = leaves(cfg) - before
    assert len(added) > 40
    assert {key for key in added if f">{key}<" not in re.sub(r"</?span[^>]*>", "", text)} == set()


@pytest.mark.parametrize("figure", [path.stem for path in FIGURES.glob("*.svg")])
def test_figures_are_those_that_their_programs_draw(figure, tmp_path):
    command = [sys.executable, str(FIGURES / f"{figure}.py"), str(tmp_path / "drawn.svg")]
    subprocess.run(command, check=True)

    def texts(path: Path) -> list[str]:  # which matplotlib writes above the outlines of their letters
        return re.findall(r"<!-- (.+?) -->", path.read_text(encoding="utf-8"))

    committed = texts(FIGURES / f"{figure}.svg")
    assert len(committed) > 10
    assert committed == texts(tmp_path / "drawn.svg"), f"python docs/figures/{figure}.py docs/figures/{figure}.svg"


@pytest.mark.parametrize("page", page_names())
def test_blocks_of_code_have_a_language(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, block.place
