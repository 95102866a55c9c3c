# SPDX-License-Identifier: Apache-2.0
"""The results of many videos in one file, and what is not merged."""

import json
import os
import shutil
import tracemalloc

import pytest
from segmented_folder import write_folder
from ytvis.small import HEIGHT, WIDTH, SmallDataset, rectangle

from ifc.ytvis.ground_truth import read_ground_truth
from ifc.ytvis.merging import merge_results
from ifc.ytvis.metric.result_tracks import read_results

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}]
SETTINGS = {
    **{"start": 0.0, "end": None, "every": 1, "results_threshold": 0, "overlay": True},
    "model": {"MODEL": {"IFC": {"CLIP_STRIDE": 1}}},
}


def track(number, num_frames):
    """A result of ifc segment."""
    mask = {"size": [HEIGHT, WIDTH], "counts": f"{number}"}
    return {"video_id": 1, "category_id": 3, "score": 0.1, "segmentations": [mask] + [None] * (num_frames - 1)}


class Outputs:
    """OUT folders of the small data set's videos "first" and "second", and its json."""

    def __init__(self, root):
        self.root = root
        self.annotations = SmallDataset(root).write()
        self.write("out/first", "JPEGImages/first", 3, 2)
        self.write("out/second", "videos/second.mp4", 2, 1)

    def write(self, folder, source, num_frames, num_tracks):
        folder = self.root / folder
        folder.mkdir(parents=True)
        manifest = {
            "input": f"/data/{source}",
            "height": HEIGHT,
            "width": WIDTH,
            "num_frames": num_frames,
            "categories": CATEGORIES,
            "weights_sha256": "abc",
            "settings": SETTINGS,
            "status": "finished",
        }
        (folder / "video.json").write_text(json.dumps(manifest))
        lines = ",\n".join(json.dumps(track(number, num_frames)) for number in range(num_tracks))
        (folder / "results.json").write_text(f"[\n{lines}\n]\n" if num_tracks else "[]\n")

    def change(self, folder, **changes):
        path = self.root / folder / "video.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def merge(self, *outputs, **options):
        path = self.root / "results.json"
        merged = merge_results([self.root / output for output in outputs or ["out"]], path, **options)
        content = path.read_text()
        assert merged.num_tracks == len(json.loads(content)) and len(content.splitlines()) == merged.num_tracks + 2
        return json.loads(content), merged


@pytest.fixture
def outputs(tmp_path):
    return Outputs(tmp_path)


def test_ids_are_those_of_the_annotations(outputs):
    results, merged = outputs.merge(annotations=outputs.annotations)
    assert results == [track(0, 2) | {"video_id": 2}, *(track(number, 3) | {"video_id": 5} for number in range(2))]
    assert (merged.num_videos, merged.remarks, merged.videos_file) == (2, [], None)


def test_ids_go_by_name_without_annotations(outputs):
    outputs.write("more/third", "b/third10.mp4", 4, 0)
    outputs.write("more/fourth", "b/third9.mp4", 1, 1)
    results, merged = outputs.merge("out", "more")
    assert [(result["video_id"], len(result["segmentations"])) for result in results] == [
        (1, 3),
        (1, 3),
        (2, 1),
        (4, 2),
    ]
    split = read_ground_truth(merged.videos_file)
    assert merged.videos_file.name == "results.videos.json" and split.tracks is None
    assert {id_: video.entry["input"] for id_, video in split.videos.items()} == {
        1: "/data/JPEGImages/first",
        2: "/data/b/third9.mp4",
        3: "/data/b/third10.mp4",
        4: "/data/videos/second.mp4",
    }
    assert [split.videos[1].size, split.videos[1].length] == [(HEIGHT, WIDTH), 3]


def test_nothing_was_found(outputs):
    shutil.rmtree(outputs.root / "out")
    outputs.write("out/first", "first", 3, 0)
    outputs.write("out/second", "second", 2, 0)
    assert (outputs.root / "results.json").exists() is False
    merged = merge_results([outputs.root / "out"], outputs.root / "results.json", outputs.annotations)
    assert (outputs.root / "results.json").read_text() == "[]\n" and merged.num_videos == 2


def test_folders_tell_videos_of_one_name_apart(outputs):
    content = json.loads(outputs.annotations.read_text())
    for video, folder in zip(content["videos"], ("a/clip", "b/clip"), strict=True):
        video["file_names"] = [f"{folder}/{frame}.jpg" for frame in range(video["length"])]
    outputs.annotations.write_text(json.dumps(content))
    outputs.change("out/first", input="/data/b/clip.mp4", num_frames=2)
    outputs.change("out/second", input="s3://bucket/a/clip", num_frames=3)
    merge = outputs.root / "results.json"
    merge_results([outputs.root / "out"], merge, outputs.annotations)
    assert [result["video_id"] for result in json.loads(merge.read_text())] == [2, 2, 5]
    outputs.change("out/second", input="/data/clip", num_frames=3)
    with pytest.raises(ValueError, match="small.json: found a/clip and 1 more for /data/clip"):
        outputs.merge(annotations=outputs.annotations)


def test_what_is_missing_is_left_out_only_if_that_is_allowed(outputs):
    outputs.change("out/first", status="broken")
    os.rename(outputs.root / "out/first", outputs.root / "out/old")
    with pytest.raises(ValueError, match=r"old \(broken\): not finished"):
        outputs.merge()
    results, merged = outputs.merge(annotations=outputs.annotations, allow_gaps=True)
    assert [result["video_id"] for result in results] == [2]
    assert ["old (broken)" in remark for remark in merged.remarks] == [True, False]
    assert merged.remarks[1].startswith("first: ") and "small.json" in merged.remarks[1]
    outputs.write("again/first", "JPEGImages/first", 3, 1)
    results, merged = outputs.merge("out", "again", annotations=outputs.annotations)
    assert [result["video_id"] for result in results] == [2, 5] and not merged.remarks, "it was done again"
    shutil.rmtree(outputs.root / "out/old")
    with pytest.raises(ValueError, match="first: no results, but in .*small.json"):
        outputs.merge(annotations=outputs.annotations)


def test_what_is_striking_is_said(outputs):
    outputs.write("out/third.part", "third", 3, 1)
    outputs.write("out/fourth", "videos/fourth.mp4", 3, 1)
    (outputs.root / "out/notes").mkdir()
    for name in ("first", "second", "fourth"):
        outputs.change(f"out/{name}", settings=SETTINGS | {"results_threshold": 0.05})
    results, merged = outputs.merge(annotations=outputs.annotations)
    assert len(results) == 3
    part, threshold, stranger = merged.remarks
    assert "third.part" in part and "--results-threshold 0.05" in threshold and "fourth" in stranger


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "/data/JPEGImages/first"}, "out/second: found results of /data/JPEGImages/first, as in .*out/first"),
        ({"input": "/data/first.mp4"}, "out/second, .*out/first: found two of first"),
        (
            {"num_frames": 3},
            r"out/second: .*found \(3, 24, 32\), expected \(2, 24, 32\), as .*small.json has for second",
        ),
        ({"width": 33}, r"out/second: .*found \(2, 24, 33\)"),
        (
            {"weights_sha256": "abd"},
            "out/second/video.json: weights_sha256: found 'abd', expected 'abc', as .*out/first",
        ),
        (
            {"settings": SETTINGS | {"every": 2}},
            "out/second/video.json: settings.every: found 2, expected 1, as .*first",
        ),
        (
            {"settings": SETTINGS | {"model": {"MODEL": {"IFC": {"CLIP_STRIDE": 2}}}}},
            "out/second/video.json: settings.model.MODEL.IFC.CLIP_STRIDE: found 2, expected 1",
        ),
        ({"categories": CATEGORIES[:1]}, "out/second/video.json: categories: found"),
        ({"num_frames": None}, "out/second/video.json: num_frames: found nothing"),
        ({"settings": None}, "out/second/video.json: settings: found nothing"),
    ],
)
def test_what_does_not_fit_is_named(outputs, changes, message):
    outputs.change("out/second", **changes)
    with pytest.raises(ValueError, match=message):
        outputs.merge(annotations=outputs.annotations)
    assert sorted(os.listdir(outputs.root)) == ["frames", "out", "small.json"]


def test_other_classes_than_the_annotations_are_named(outputs):
    for name in ("first", "second"):
        outputs.change(f"out/{name}", categories=[*CATEGORIES, {"id": 4, "name": "bird"}])
    with pytest.raises(ValueError, match="small.json: category 4: found nothing, expected 'bird'"):
        outputs.merge(annotations=outputs.annotations)


@pytest.mark.parametrize(
    "content", [None, "", "[\n", '[\n{"video_id": 1, "category_id"', "[]", '[\n{"video_id": 2}\n]\n']
)
def test_results_that_are_not_whole_are_named(outputs, content):
    path = outputs.root / "out/second/results.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match="out/second/results.json"):
        outputs.merge()
    assert not (outputs.root / "results.json").exists()


def test_inputs_are_not_written_over(outputs):
    for path in (outputs.annotations, outputs.root / "out/first/results.json"):
        with pytest.raises(FileExistsError, match=path.name):
            merge_results([outputs.root / "out"], path, outputs.annotations)
    with pytest.raises(ValueError, match="frames: found nothing"):
        outputs.merge("frames")


def test_memory_is_that_of_a_list_of_videos(outputs):
    content = (outputs.root / "out/first/results.json").read_text().splitlines()
    long = content[1].replace("null", ", ".join(["null"] * 10**6))
    (outputs.root / "out/first/results.json").write_text("\n".join(["[", long, *content[2:], ""]))
    merge_results([outputs.root / "out"], outputs.root / "warm.json")
    tracemalloc.start()
    merge_results([outputs.root / "out"], outputs.root / "results.json")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert os.path.getsize(outputs.root / "results.json") > 10**7 and peak < 10**6


def test_folders_of_the_reader_are_read(tmp_path):
    """What ifc view reads, and results with masks, which are checked when they are evaluated."""
    masks = rectangle(2, 3, 4, 5)[None, None]
    write_folder(tmp_path / "out/clip", "/data/clip.mp4", masks, [0.0])
    mask = json.loads((tmp_path / "out/clip/objects.jsonl").read_text())["objects"][0]["segmentation"]
    entry = {"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [mask]}
    (tmp_path / "out/clip/results.json").write_text(f"[\n{json.dumps(entry)}\n]\n")
    merged = merge_results([tmp_path / "out"], tmp_path / "results.json")
    ((track,),) = read_results(tmp_path / "results.json", read_ground_truth(merged.videos_file)).values()
    assert track.mask_areas.tolist() == [20]
