# SPDX-License-Identifier: Apache-2.0
"""Odd files: the checker, the metric and the training loader agree on each, and name the same place."""

import copy
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ytvis.small import HEIGHT, WIDTH, SmallDataset

from ifc.data.dataset_dicts import load_ytvis_json
from ifc.ytvis.datasets.check import check_dataset
from ifc.ytvis.files import read_json
from ifc.ytvis.metric.video_ap import evaluate_tracks

A, V, C = "annotations", "videos", "categories"
PIXELS = HEIGHT * WIDTH
RLE, RUNS, POLYGONS = (A, 0, "segmentations", 0), (A, 1, "segmentations", 1), (A, 2, "segmentations", 0)
SQUARE = [2, 3, 12, 3, 12, 8, 2, 8]
GONE = object()


def verdicts(path: str | os.PathLike, image_root: str | os.PathLike) -> dict[str, str]:
    """What the checker, the metric and the loader say against a file; "" where they take it."""
    said = {}
    refused = [fault for fault in check_dataset(path, image_root, frames=False).faults if fault.is_refused]
    said["checker"] = refused[0].text if refused else ""
    has_annotations = True
    try:
        content = read_json(path)
        has_annotations = not isinstance(content, dict) or content.get(A) is not None
    except ValueError:
        pass
    programs = {"metric": lambda: evaluate_tracks(path, []), "loader": lambda: load_ytvis_json(path, image_root)}
    for name, run in programs.items():
        try:
            run()
            said[name] = ""
        except ValueError as error:
            said[name] = str(error).removeprefix(f"{path}: ")
    if not has_annotations and "nothing can be measured" in said["metric"]:
        said["metric"] = ""  # a split for a server, which is good
    return said


def at(*path_and_value: Any) -> Callable:
    """A change of the json: the last argument is put at the path, or what is there is taken away."""
    *path, key, value = path_and_value

    def change(content: dict) -> None:
        for step in path:
            content = content[step]
        if value is GONE:
            del content[key]
        else:
            content[key] = value

    return change


def of_all(key: str, value: Any, entries: str = A) -> Callable:
    """A change of all annotations, or of all videos."""
    return lambda content: [at(key, value)(entry) for entry in content[entries]]


TAKEN = {
    "as it is": lambda content: None,
    "no areas": of_all("areas", GONE),
    "null areas": of_all("areas", None),
    "no boxes": of_all("bboxes", GONE),
    "empty box": at(A, 0, "bboxes", 1, []),
    "no iscrowd": of_all("iscrowd", GONE),
    "iscrowd as true": at(A, 0, "iscrowd", True),
    "no annotation ids": of_all("id", GONE),
    "null annotation id": at(A, 1, "id", None),
    "length 1 in annotations, as in YouTube-VIS 2019": of_all("length", 1),
    "another size in an annotation": at(A, 0, "height", 7),
    "no length of videos": of_all("length", GONE, V),
    "null annotations, as in a split for a server": at(A, None),
    "no annotations": at(A, GONE),
    "no object in any video": at(A, []),
    "a track that is never seen": at(A, 1, "segmentations", [None] * 3),
    "empty lists for absent masks": at(A, 1, "segmentations", [[], [], []]),
    "polygon up to the far side": at(*POLYGONS, [[0, 0, WIDTH, 0, WIDTH, HEIGHT]]),
    "polygon a little outside": at(*POLYGONS, 0, 2, WIDTH + 1.5),
    "polygon half a side outside": at(*POLYGONS, 0, 2, 1.5 * WIDTH),
    "whole polygon outside": at(*POLYGONS, [[-9, -9, -5, -9, -5, -2]]),
    "area that disagrees": at(A, 0, "areas", 0, 7),
    "area where nothing is seen": at(A, 0, "areas", 1, 7),
    "box that disagrees": at(A, 0, "bboxes", 0, [0, 0, 1, 1]),
    "runs of no pixels": at(*RUNS, "counts", [0, 5, 0, 5, PIXELS - 10]),
    "one frame listed twice": at(V, 1, "file_names", ["second/00000.jpg"] * 2),
    "a supercategory, and fields of one's own": at(C, 0, "supercategory", {"any": ["thing"]}),
    "category ids with gaps and 0": lambda content: (at(C, 0, "id", 0)(content), at(A, 1, "category_id", 0)(content)),
    "a class without objects": lambda content: content[C].append({"id": 77, "name": "none"}),
}  # fmt: skip

REFUSED = {
    "no object": (lambda content: content.clear(), "categories"),
    "videos no list": (at(V, {}), "videos"),
    "no videos": (at(V, []), "videos"),
    "no categories": (at(C, []), "categories"),
    "annotations no list": (at(A, {}), "annotations"),
    "annotation no object": (at(A, 0, 7), "annotations[0]"),
    "two annotations of one id": (at(A, 1, "id", 10), "annotations[1].id"),
    "annotation id as text": (at(A, 1, "id", "11"), "annotations[1].id"),
    "two videos of one id": (at(V, 1, "id", 5), "videos[1].id"),
    "two categories of one id": (at(C, 1, "id", 1), "categories[1].id"),
    "two categories of one name": (at(C, 1, "name", "cat"), "categories[1].name"),
    "video id as a fraction": (at(V, 0, "id", 5.5), "videos[0].id"),
    "id of more than 64 bits": (at(V, 0, "id", 2**70), "videos[0].id"),
    "category without a name": (at(C, 0, "name", None), "categories[0].name"),
    "unknown video": (at(A, 0, "video_id", 6), "annotations[0].video_id"),
    "video id true": (at(A, 0, "video_id", True), "annotations[0].video_id"),
    "unknown category": (at(A, 0, "category_id", 2), "annotations[0].category_id"),
    "iscrowd 2": (at(A, 0, "iscrowd", 2), "annotations[0].iscrowd"),
    "negative height": (at(V, 0, "height", -1), "videos[0]: height x width"),
    "frame larger than any": (at(V, 0, "width", 10**8), "videos[0]: height x width"),
    "side of a fraction": (at(V, 0, "width", 32.0), "videos[0]: height x width"),
    "length that disagrees": (at(V, 0, "length", 4), "videos[0].length"),
    "frames no list": (at(V, 0, "file_names", "a.jpg"), "videos[0].file_names"),
    "frame without a name": (at(V, 0, "file_names", 1, ""), "videos[0].file_names[1]"),
    "frame a number": (at(V, 0, "file_names", 1, 3), "videos[0].file_names[1]"),
    "no segmentations": (at(A, 0, "segmentations", None), "annotations[0].segmentations"),
    "too few segmentations": (at(A, 0, "segmentations", [None]), "annotations[0].segmentations"),
    "too many boxes": (at(A, 0, "bboxes", [None] * 9), "annotations[0].bboxes"),
    "too few areas": (at(A, 0, "areas", []), "annotations[0].areas"),
    "negative area": (at(A, 0, "areas", 0, -1), "annotations[0].areas[0]"),
    "areas no list": (at(A, 0, "areas", False), "annotations[0].areas"),
    "boxes no list": (at(A, 0, "bboxes", {"0": 1}), "annotations[0].bboxes"),
    "area as text": (at(A, 0, "areas", 0, "42"), "annotations[0].areas[0]"),
    "area that is no number": (at(A, 0, "areas", 0, float("nan")), "annotations[0].areas[0]"),
    "area of more than a billion": (at(A, 0, "areas", 0, 1e10), "annotations[0].areas[0]"),
    "box of two numbers": (at(A, 0, "bboxes", 0, [1, 2]), "annotations[0].bboxes[0]"),
    "box without end": (at(A, 0, "bboxes", 0, [1, 2, float("inf"), 4]), "annotations[0].bboxes[0]"),
    "segmentation a number": (at(A, 0, "segmentations", 0, 5), "annotations[0].segmentations[0]"),
    "RLE of another size": (at(*RLE, "size", [WIDTH, HEIGHT]), "annotations[0].segmentations[0].size"),
    "RLE that is none": (at(*RLE, "counts", "1P"), "annotations[0].segmentations[0].counts"),
    "RLE that ends early": (at(*RLE, "counts", "11"), "annotations[0].segmentations[0].counts"),
    "RLE without counts": (at(*RLE, "counts", ""), "annotations[0].segmentations[0].counts"),
    "runs that are too many": (at(*RUNS, "counts", 0, 99), "annotations[1].segmentations[1].counts"),
    "negative run": (at(*RUNS, "counts", [PIXELS + 1, -1]), "annotations[1].segmentations[1].counts"),
    "runs of fractions": (at(*RUNS, "counts", [1.0] * PIXELS), "annotations[1].segmentations[1].counts"),
    "polygon of two points": (at(*POLYGONS, 0, SQUARE[:4]), "annotations[2].segmentations[0][0]"),
    "polygon of half a point": (at(*POLYGONS, 0, SQUARE[:7]), "annotations[2].segmentations[0][0]"),
    "polygon three sides outside": (at(*POLYGONS, 0, 2, 4 * WIDTH), "annotations[2].segmentations[0][0]"),
    "polygon of text": (at(*POLYGONS, 0, ["1"] * 6), "annotations[2].segmentations[0][0]"),
    "polygon without end": (at(*POLYGONS, 0, 2, float("inf")), "annotations[2].segmentations[0][0]"),
    "polygon of any length": (at(*POLYGONS, 0, SQUARE * 40_000), "annotations[2].segmentations[0]"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_taken_by_all(small: SmallDataset, name: str) -> None:
    TAKEN[name](small.content)
    assert verdicts(small.write(), small.image_root) == {"checker": "", "metric": "", "loader": ""}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_all_at_the_same_place(small: SmallDataset, name: str) -> None:
    change, place = REFUSED[name]
    change(small.content)
    said = verdicts(small.write(), small.image_root)
    assert said["checker"] == said["metric"] == said["loader"]
    assert f"{place}: found " in said["checker"]


# What a json may hold in any place.
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 60)
    | st.sampled_from([1, 3, 5, HEIGHT, WIDTH, 2**31, 2**63, 10**30, 10**400, 1e308, -0.0, 6.0])
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["", "\ud800", "\0", "PPPl0", "0" * 500])
    | st.builds(lambda: [[] for _ in range(300)])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from(["id", "size", "counts", "length", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def spoiled(draw: st.DrawFn, content: dict) -> Any:
    """The content with other values in one to three places."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        node, parent, key = content, None, None
        while isinstance(node, dict | list) and node and (parent is None or draw(st.integers(0, 3)) > 0):
            parent, key = node, draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
            node = parent[key]
        if parent is None:
            break
        parent[key] = draw(VALUES)
    return content


@settings(max_examples=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_is_judged_alike(small: SmallDataset, data: st.DataObject) -> None:
    """At least 2,000 jsons through the one reader and the one mask module: one line or none, and no other end."""
    small.path.write_text(json.dumps(data.draw(spoiled(small.content))))
    said = verdicts(small.path, small.image_root)
    is_frameless = ".file_names: found nothing" in said["checker"] + said["loader"]  # which the metric can do without
    if is_frameless:
        assert said["checker"] and said["loader"]
    else:
        assert said["checker"] == said["metric"] == said["loader"]
    for text in filter(None, said.values()):
        assert ": found " in text and ", expected " in text and "\n" not in text and len(text) < 400
