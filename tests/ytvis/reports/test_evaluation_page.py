# SPDX-License-Identifier: Apache-2.0
"""The report: that it says what was measured, and shows the videos that went worst."""

import base64
import html
import re
from xml.etree import ElementTree

import pytest
from PIL import Image
from ytvis.metric.columns import data_set

from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.metric import errors
from ifc.ytvis.metric.evaluation import evaluate
from ifc.ytvis.metric.result_tracks import read_results
from ifc.ytvis.reports.evaluation_page import make_report
from ifc.ytvis.reports.pictures import WIDTH, WRONG, FrameFiles, compare_objects

# pycocotools' decode, which pictures need, is older than NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")

GRAY = 90
HALF, OTHER_HALF = [(0, 10), None], [None, (0, 10)]


def evaluation_of(ground_truth, results, score=None):
    read = read_ground_truth(ground_truth)
    return evaluate(read, read_results(results, read), score=score)


@pytest.fixture
def case():
    """Video 1: one found, one found as another; 2: all wrong; 3: all right, but for a switch."""
    objects = [
        (1, "a", [(0, 10), (0, 10)]),
        (1, "b", [(20, 60), (20, 60)]),
        (2, "a", [(50, 80), (50, 80)]),
        (3, "a", [(0, 10), (0, 10)]),
    ]
    results = [
        (1, "a", 0.9, [(0, 10), (0, 10)]),
        (1, "a", 0.8, [(20, 60), (20, 60)]),
        (2, "b", 0.9, [(0, 20), (0, 20)]),
        (3, "a", 0.9, HALF),
        (3, "a", 0.8, OTHER_HALF),
        (3, "c", 0.1, OTHER_HALF),
    ]
    ground_truth, found = data_set(objects, results, length=2)
    for video in ground_truth["videos"]:
        video["file_names"] = [f"{video['id']}/{frame}.png" for frame in range(video["length"])]
    return ground_truth, found


@pytest.fixture
def frames(case, tmp_path):
    """A folder with the gray frames of videos 1 and 3, and for video 2 one of another size."""
    for video in case[0]["videos"]:
        for name in video["file_names"]:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            Image.new("L", (100 if video["id"] != 2 else 50, 1), GRAY).save(tmp_path / name)
    return tmp_path


def words(page):
    """The page's text, without markup and images."""
    markup = re.sub(r'src="data:[^"]*"', "", page.render())
    return html.unescape(re.sub(r"\s*<[^>]*>\s*", "|", markup[markup.index("<body>") :]))


def rows(page):
    """The cells of each row of the tables."""
    markup = page.render()
    return [
        [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", markup)
    ]


def test_it_says_what_was_measured(case):
    evaluation = evaluation_of(*case, score=0.5)
    table = rows(make_report(evaluation, None, None))
    assert [f"{100 * value:.1f}" if value >= 0 else "–" for value in evaluation.result.stats] in table
    assert ["a", "3", "4", f"{100 * evaluation.result.per_category_ap['a']:.1f}"] in [row[:4] for row in table]
    assert ["c", "0", "1", "–", "–", "–"] in table
    counted = {row[0]: row[1] for row in table if row and row[0] in {*errors.ERROR_TYPES, "identity switch"}}
    expected = {name: str(cost.count) for name, cost in evaluation.costs.items()}
    switches, _ = evaluation.identity_switches()
    assert counted == expected | {"identity switch": str(switches)}
    assert ["b", "a", "1"] in table  # the only confusion
    assert "Tracking" not in words(make_report(evaluation, None, None))


def test_identity_switches_are_of_what_counts_as_found(case):
    assert evaluation_of(*case, score=0.5).identity_switches() == (1, 1)
    assert evaluation_of(*case, score=0.85).identity_switches() == (0, 0)


def test_tracking_numbers_are_shown(case):
    tracking = {"": {"HOTA": 0.512, "IDSW": 3.0}, "a": {"HOTA": 0.4, "IDSW": 3.0}}
    table = rows(make_report(evaluation_of(*case), tracking, None))
    assert ["all", "51.2", "3"] in table
    assert ["a", "40.0", "3"] in table


def test_the_worst_video_comes_first(case):
    table = rows(make_report(evaluation_of(*case, score=0.5), None, None))
    worst = [row for row in table if len(row) == 6 and row[0] in ("1", "2", "3")]
    assert worst == [
        ["2", "1", "0", "1", "1", "0.0"],
        ["1", "2", "1", "1", "1", "50.0"],
        ["3", "1", "1", "1", "0", "66.7"],
    ]


def test_pictures_of_the_worst_videos(case, frames):
    evaluation = evaluation_of(*case, score=0.5)
    page = make_report(evaluation, None, FrameFiles(evaluation.ground_truth, frames))
    text = words(page)
    assert "Video 1, frame 0: objects (left)" in text
    assert "Video 3, frame 0: objects (left)" in text
    assert re.search(r"Video 2: no picture, .*2/0.png: found 1 x 50, expected 1 x 100", text)
    assert page.render().count("data:image/jpeg") == 2


def test_a_frame_that_is_missing_is_named(case, frames):
    (frames / "1" / "0.png").unlink()
    (frames / "3" / "0.png").write_text("no picture")
    evaluation = evaluation_of(*case, score=0.5)
    text = words(make_report(evaluation, None, FrameFiles(evaluation.ground_truth, frames)))
    assert re.search(r"Video 1: no picture, .*1/0.png: found no such file", text)
    assert re.search(r"Video 3: no picture, .*3/0.png: found no image", text)


def test_one_color_for_an_object_and_its_result_and_red_for_errors(case, frames):
    evaluation = evaluation_of(*case, score=0.5)
    frame, picture = compare_objects(evaluation, 1, FrameFiles(evaluation.ground_truth, frames))
    assert frame == 0
    left, right = picture[:, :WIDTH].astype(int), picture[:, -WIDTH:].astype(int)
    found, wrong, nothing = (slice(0, 40), slice(110, 280), slice(300, WIDTH))
    # The outline, and so the first row, has the color itself.
    assert (left[:, 2] == right[:, 2]).all() and (left[:, 2] != GRAY).any()
    for half in (left, right):
        assert (half[0, wrong] == WRONG).all(axis=-1).mean() > 0.5
        assert not (half[:, found] == WRONG).all(axis=-1).any()
        assert (half[:, nothing] == GRAY).all()


def test_frames_that_are_not_there_are_refused(case, tmp_path):
    with pytest.raises(NotADirectoryError, match="nowhere: expected the folder of the frames"):
        FrameFiles(read_ground_truth(case[0]), tmp_path / "nowhere")
    case[0]["videos"][1]["file_names"] = None
    with pytest.raises(ValueError, match=r"videos\[1\].file_names: found nothing, expected 2 names"):
        FrameFiles(read_ground_truth(case[0]), tmp_path)


@pytest.mark.parametrize("part", ["objects", "results", "both"])
def test_where_there_is_nothing(case, part):
    ground_truth, results = case
    if part != "results":
        ground_truth["annotations"] = []
    evaluation = evaluation_of(ground_truth, [] if part != "objects" else results)
    text = words(make_report(evaluation, None, None))
    assert ("There are no objects" in text) == (part != "results")
    assert ("There are no results" in text) == (part != "objects")


def test_names_are_shown_as_they_are(case):
    names = ["<b>", "$x^", "\ud800"]
    for category, name in zip(case[0]["categories"], names, strict=True):
        category["name"] = name
    page = make_report(evaluation_of(*case), None, None)
    assert {"<b>", "$x^", "\ud800"} <= {row[0] for row in rows(page) if row}


@pytest.mark.filterwarnings("error")
def test_names_in_plots_are_text(case):
    """Also those that matplotlib's font lacks, or that no XML may hold."""
    for category, name in zip(case[0]["categories"], ["\u732b <b>", "a\x1b\nb", "\ufffe-->"], strict=True):
        category["name"] = name
    page = make_report(evaluation_of(*case), None, None).render()
    plots = [base64.b64decode(data) for data in re.findall(r"data:image/svg\+xml;base64,([^\"]*)", page)]
    texts = {text for plot in plots for text in ElementTree.fromstring(plot).itertext()}
    assert {"\u732b <b>", "a\ufffd\ufffdb", "\ufffd-->"} <= texts


@pytest.mark.parametrize("scores", [(0.5, 0.5), (0.5, 0.5 + 2**-52), (-1e100, 1e100), (1e100, 1e100), (0, 1e-300)])
def test_scores_that_a_histogram_hardly_tells_apart(case, scores):
    for index, record in enumerate(case[1]):
        record["score"] = scores[index % 2]
    assert "Scores of the results" in words(make_report(evaluation_of(*case), None, None))
