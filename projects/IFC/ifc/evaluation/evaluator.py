# SPDX-License-Identifier: Apache-2.0
"""Evaluation of video instance segmentation in detectron2's loop: results.json, and AP where there are annotations."""

import itertools
import logging
import math
import os
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from ..ytvis.files import write_list
from ..ytvis.ground_truth import GroundTruth, read_ground_truth
from ..ytvis.images import BadImageError
from ..ytvis.metric.submission import RESULTS_FILE, write_submission
from ..ytvis.metric.video_ap import STAT_NAMES, VideoAPResult, evaluate_tracks
from ..ytvis.reports.pictures import FrameFiles
from ..ytvis.reports.text import category_table, stats_table
from .pictures import spread, video_picture

ZIP_FILE = "results.zip"  # for the server of a split without annotations
TASK = "segm"  # detectron2's name for numbers of instance masks


class IncompleteResultsError(ValueError):
    """Videos could be read in part only. All that was found is written and measured.

    Attributes:
        results: the numbers of all data sets.
    """

    def __init__(self, message: str, results: dict[str, Any]) -> None:
        super().__init__(message)
        self.results = results


class YTVISEvaluator(DatasetEvaluator):
    """Collects a model's tracks, writes them as YouTube-VIS's results.json and measures them where it can.

    A video counts once, however many processes saw it; the file and the numbers do not depend on their number.

    Attributes:
        incomplete: after `evaluate`, which videos could be read in part only and why; empty if there are none, and in
            all but the main process.
    """

    def __init__(self, dataset_name: str, output_dir: str, num_pictures: int = 0) -> None:
        """
        Args:
            dataset_name: a registered data set; of its metadata `json_file` and `thing_dataset_id_to_contiguous_id` are
                used.
            output_dir: where the main process writes results.json; made if missing.
            num_pictures: how many videos, spread over the split, `pictures` shows.

        Raises:
            ValueError: the data set's metadata or annotations are faulty. Nothing has been computed by then.
            OSError: the json file cannot be read.
        """
        self._logger = logging.getLogger(__name__)
        self._dataset_name = dataset_name
        self._output_dir = output_dir
        self._num_pictures = num_pictures
        self._pictured: dict[int, list[dict[str, Any]]] = {}  # the results of those videos
        metadata = MetadataCatalog.get(dataset_name)
        for field in ("json_file", "thing_dataset_id_to_contiguous_id"):
            if metadata.get(field) is None:
                raise ValueError(
                    f"Data set {dataset_name}: metadata has no {field}; was it registered as a video data set?"
                )
        self._category_ids = {label: id_ for id_, label in metadata.thing_dataset_id_to_contiguous_id.items()}
        self._results: dict[int, list[dict[str, Any]]] = {}  # of each video
        self._incomplete: dict[int, str] = {}  # of each video that could be read in part only, what was wrong
        self.incomplete = ""
        self._ground_truth: GroundTruth | None = None  # where the numbers are computed
        if comm.is_main_process():
            self._ground_truth = read_ground_truth(metadata.json_file)

    def reset(self) -> None:
        """Forget all results."""
        self._results = {}
        self._pictured = {}
        self._incomplete = {}
        self.incomplete = ""

    def process(self, inputs: list[dict[str, Any]], outputs: dict[str, Any]) -> None:
        """Take the result of one video; of a video that comes twice, the first.

        Args:
            inputs: one dataset dict, with "video_id".
            outputs: "pred_scores", "pred_labels" (contiguous) and "pred_masks" of N tracks; a track's masks are a
                sequence of a compressed RLE, or None, for each frame, which tracks may share. "error" is there for a
                video that could be read in part only.

        Raises:
            ValueError: a score is not finite.
        """
        (video,) = inputs
        video_id = video["video_id"]
        if video_id in self._results:
            return
        tracks = zip(outputs["pred_scores"], outputs["pred_labels"], outputs["pred_masks"], strict=True)
        self._results[video_id] = [
            {
                "video_id": video_id,
                "category_id": self._category_ids[label],
                "score": float(score),
                "segmentations": masks,
            }
            for score, label, masks in tracks
        ]
        if not all(math.isfinite(track["score"]) for track in self._results[video_id]):
            raise ValueError(f"Data set {self._dataset_name}, video {video_id}: found a score that is not finite")
        if "error" in outputs:
            message = f"video {video_id} could be read in part only: {outputs['error']}"
            self._logger.error(f"Data set {self._dataset_name}, {message}")
            self._incomplete[video_id] = message

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """Write results.json and, where the split has annotations, measure; where it has none, zip it for its server.

        Returns:
            {"segm": {metric: percent}} with the twelve numbers and "AP-<category>", nan where there is nothing to
            measure; empty in all but the main process and for a split without annotations.

        Raises:
            ValueError: the results are not such as a server or the metric takes, in all detail.
        """
        comm.synchronize()
        gathered = comm.gather((self._results, self._incomplete), dst=0)
        if not comm.is_main_process():
            return OrderedDict()
        by_video = _merge([results for results, _ in gathered])
        incomplete = _merge([messages for _, messages in gathered])
        del gathered

        self._warn_of_missing_videos(by_video)
        path = os.path.join(self._output_dir, RESULTS_FILE)
        os.makedirs(self._output_dir, exist_ok=True)
        write_list(path, itertools.chain.from_iterable(by_video.values()))
        self._logger.info(f"Wrote the results of {len(by_video)} videos to {path}")
        video_ids = list(by_video)
        chosen = [video_ids[index] for index in spread(self._num_pictures, len(video_ids))]
        self._pictured = {video_id: by_video[video_id] for video_id in chosen}
        if incomplete:
            messages = "; ".join(incomplete.values())
            self.incomplete = f"Data set {self._dataset_name}: {messages}. What was found is in {path}"
        return self._submit(path) if self._ground_truth.tracks is None else self._measure(by_video)

    def pictures(self) -> Iterator[tuple[str, np.ndarray]]:
        """What the last `evaluate` found in some videos, as names and pictures (H, W, 3); in the main process."""
        frames = FrameFiles(self._ground_truth, MetadataCatalog.get(self._dataset_name).image_root)
        rows = "found" if self._ground_truth.tracks is None else "found_above_annotated"
        for video_id, results in self._pictured.items():
            try:
                picture = video_picture(self._ground_truth, frames, video_id, results)
            except BadImageError as error:
                self._logger.warning(f"Data set {self._dataset_name}, video {video_id}: no picture, {error}")
            else:
                yield f"{self._dataset_name}/video_{video_id}_{rows}", picture

    def _submit(self, path: str) -> OrderedDict[str, dict[str, float]]:
        """Zip results for the split's server. There are no metrics."""
        zip_path = os.path.join(self._output_dir, ZIP_FILE)
        for remark in write_submission(path, self._ground_truth, zip_path):
            self._logger.warning(f"Results of {self._dataset_name}: {remark}")
        self._logger.info(
            f"Data set {self._dataset_name} has no annotations, so there is nothing to measure here. "
            f"Its server takes {zip_path}."
        )
        return OrderedDict()

    def _measure(self, by_video: dict[int, list[dict[str, Any]]]) -> OrderedDict[str, dict[str, float]]:
        result = evaluate_tracks(self._ground_truth, list(itertools.chain.from_iterable(by_video.values())))
        self._log(result)
        return OrderedDict({TASK: _to_metrics(result)})

    def _warn_of_missing_videos(self, by_video: dict[int, list[dict[str, Any]]]) -> None:
        num_videos = len(self._ground_truth.videos)
        num_missing = len(self._ground_truth.videos.keys() - by_video.keys())
        if num_missing:
            self._logger.warning(
                f"Data set {self._dataset_name}: {num_missing} of {num_videos} videos were not processed; "
                "they count as videos in which nothing was found."
            )

    def _log(self, result: VideoAPResult) -> None:
        self._logger.info(f"Results on {self._dataset_name}, in percent:\n{stats_table(result, 3)}")
        self._logger.info(f"AP by category:\n{category_table(result, 3)}")


def _merge(gathered: list[dict[int, Any]]) -> dict[int, Any]:
    """What all processes have by video, in ascending order of id; of a video seen twice, the first process's."""
    by_video = {video_id: value for values in reversed(gathered) for video_id, value in values.items()}
    return dict(sorted(by_video.items()))


def _to_metrics(result: VideoAPResult) -> dict[str, float]:
    """Names and percent, as detectron2 has them; nan where there is nothing to measure."""
    metrics = dict(zip(STAT_NAMES, result.stats.tolist(), strict=True))
    metrics |= {f"AP-{name}": -1.0 if ap is None else ap for name, ap in result.per_category_ap.items()}
    return {name: 100 * value if value >= 0 else math.nan for name, value in metrics.items()}
