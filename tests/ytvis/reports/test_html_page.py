# SPDX-License-Identifier: Apache-2.0
"""The page against a parser: what is in it, that it needs no network, and that text stays text."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ifc.ytvis.reports.html_page import HtmlPage

VOID = {"meta", "img"}


class Reader(HTMLParser):
    """Checks that tags nest; collects text by tag, and images."""

    def __init__(self, markup):
        super().__init__()
        self.open, self.texts, self.images, self.tags = [], [], [], []
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.append((self.open[-1], data.strip()))


def plot():
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1], [0, 1])
    return figure


@pytest.fixture
def page():
    page = HtmlPage("Report <1>")
    page.heading("Numbers & names")
    page.paragraph("a < b")
    page.table(["class", "AP"], [["<script>alert(1)</script>", "41.0"], ["dog", None]], caption="AP by class")
    page.figure(plot(), 'a "curve"')
    page.picture(np.full((20, 30, 3), (200, 30, 30), dtype=np.uint8), "frame 3")
    return page


def test_the_page_holds_what_was_added_as_text(page):
    texts = Reader(page.render()).texts
    assert ("title", "Report <1>") in texts
    assert ("h1", "Report <1>") in texts
    assert ("h2", "Numbers & names") in texts
    assert ("p", "a < b") in texts
    assert ("caption", "AP by class") in texts
    assert [text for tag, text in texts if tag == "td"] == ["<script>alert(1)</script>", "41.0", "dog", "–"]
    assert [text for tag, text in texts if tag == "figcaption"] == ['a "curve"', "frame 3"]


def test_columns_of_numbers_are_aligned_at_the_right(page):
    cells = [attributes.get("class") for tag, attributes in Reader(page.render()).tags if tag in ("th", "td")]
    assert cells == ["text", "number"] * 3


def test_images_are_inside(page):
    svg, jpeg = Reader(page.render()).images
    assert svg["alt"] == 'a "curve"'
    assert b"<svg" in base64.b64decode(svg["src"].removeprefix("data:image/svg+xml;base64,"))
    content = base64.b64decode(jpeg["src"].removeprefix("data:image/jpeg;base64,"))
    picture = np.asarray(Image.open(io.BytesIO(content)))
    assert picture.shape == (20, 30, 3)
    np.testing.assert_allclose(picture.mean(axis=(0, 1)), (200, 30, 30), atol=4)


def test_the_page_needs_no_network(page):
    markup = page.render()
    assert not re.search(r"<(script|link|iframe)|@import|url\(", markup)
    assert all(image["src"].startswith("data:") for image in Reader(markup).images)


def test_the_same_page_is_the_same_file(page):
    again = HtmlPage("Report <1>")
    for _ in range(2):
        again.figure(plot(), "curve")
    first, second = Reader(again.render()).images
    assert first == second


def test_it_is_written_whole_or_not_at_all(page, tmp_path):
    path = tmp_path / "report.html"
    page.write(path)
    assert path.read_text(encoding="utf-8") == page.render()
    with pytest.raises(FileNotFoundError):
        page.write(tmp_path / "nowhere" / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_text_that_no_file_can_hold_is_replaced(tmp_path):
    page = HtmlPage("lone \ud800 surrogate")
    page.write(tmp_path / "page.html")
    assert "lone ? surrogate" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_wrong_shapes_are_refused():
    page = HtmlPage("x")
    with pytest.raises(ValueError, match="found a row of 1 cells, expected 2"):
        page.table(["a", "b"], [[1]])
    for array in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"expected uint8 \(H, W, 3\)"):
            page.picture(array, "")


def test_an_empty_table_shows_its_header():
    page = HtmlPage("x")
    page.table(["fault", "place"], [])
    assert [text for tag, text in Reader(page.render()).texts if tag == "th"] == ["fault", "place"]
