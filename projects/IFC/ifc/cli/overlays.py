# SPDX-License-Identifier: Apache-2.0
"""Videos and images in, overlays and results out: the work of demo.py. It loads torch: import it after --help."""

import itertools
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils.logger import setup_logger
from tqdm import tqdm

from ..engine import setup_config
from ..predictor import SEGMENTER_DEFAULTS, Classes, IncompleteVideoError, VideoSegmenter
from ..video import FolderReader, FrameSource, ImageReader, VideoReadError, VideoWriteError, VideoWriter, open_frames
from ..ytvis.drawing import DrawingStyle, DrawnTrack, TrackDrawer, default_scale, objects_on, select_tracks
from ..ytvis.files import whole_file, write_json, write_list
from .interruption import Interruption
from .program import one_clear_error, print_anything

logger = logging.getLogger(__name__)

RESULTS_FILES = {"videos": "results.json", "images": "image_results.json"}


def run(args: Namespace) -> None:
    """Do what demo.py's command line asks for; the program ends with status 1 if not all of it could be done."""
    print_anything()
    for name in ("detectron2", "fvcore", "ifc"):
        setup_logger(name=name)
    with one_clear_error():
        jobs, segmenter = prepare(args)
        overlays = Overlays(segmenter, args.confidence_threshold, args.scale, args.frame_rate)
        try:
            errors = overlays.make(jobs, args.output)
        except KeyboardInterrupt:
            errors = [f"interrupted; {args.output} has what was tracked before"]
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    if errors:
        sys.exit(1)


@dataclass(frozen=True)
class Job:
    """One input: its id in the results, and the file that its overlay goes to."""

    id: int
    source: FrameSource
    overlay: Path

    @property
    def is_image(self) -> bool:
        return isinstance(self.source, ImageReader)

    def as_json(self) -> dict[str, Any]:
        height, width = self.source.size
        return {
            "id": self.id,
            "file_name": str(self.source.path),
            "height": height,
            "width": width,
            "overlay": self.overlay.name,
        }


def prepare(args: Namespace) -> tuple[list[Job], VideoSegmenter]:
    """Everything that comes before the work, and may turn out to be impossible.

    Raises:
        OSError, ValueError: for a wrong config, checkpoint, input or output folder.
    """
    cfg = setup_config(args.config_file, args.opts, program_defaults=SEGMENTER_DEFAULTS)
    Classes.of_config(cfg)  # before the time that the weights take
    jobs = plan_jobs(args.input, args.output, args.frame_rate)
    for job in jobs:
        _require_drawable(job.source, args.scale)
    _make_output_folder(args.output)
    if cfg.INPUT.SAMPLING_FRAME_NUM <= cfg.MODEL.IFC.CLIP_STRIDE and not all(job.is_image for job in jobs):
        logger.warning(
            "Windows do not overlap, so that no object is followed from one to the next: INPUT.SAMPLING_FRAME_NUM is "
            f"{cfg.INPUT.SAMPLING_FRAME_NUM}, MODEL.IFC.CLIP_STRIDE {cfg.MODEL.IFC.CLIP_STRIDE}."
        )
    segmenter = VideoSegmenter(cfg)
    for job in jobs:
        segmenter.require_size(*job.source.size, str(job.source.path))
    return jobs, segmenter


def plan_jobs(inputs: Sequence[Path], output: Path, frame_rate: float) -> list[Job]:
    """Open every input and give each an overlay of its own, under its own name if that is free and not that of an input
    or of a frame of one. Videos and images are numbered apart, from 1.

    Raises:
        ValueError: if an input cannot be read.
    """
    jobs: list[Job] = []
    sources = [open_frames(path, frame_rate=frame_rate) for path in inputs]
    taken = {path.resolve() for path in inputs}
    taken |= {file.resolve() for source in sources if isinstance(source, FolderReader) for file in source.files}
    input_files = frozenset(taken)
    for path, source in zip(inputs, sources, strict=True):
        is_image = isinstance(source, ImageReader)
        suffix = ".png" if is_image else ".mp4"
        name = path.resolve().name if path.is_dir() else path.stem
        if (output / (name + suffix)).resolve() in input_files:
            name += "_overlay"
        numbered = (f"{name}_{k}" for k in itertools.count(2))
        overlays = (output / (n + suffix) for n in itertools.chain([name], numbered))
        overlay = next(overlay for overlay in overlays if overlay.resolve() not in taken)
        taken.add(overlay.resolve())
        jobs.append(Job(1 + sum(job.is_image == is_image for job in jobs), source, overlay))
    return jobs


def _require_drawable(source: FrameSource, scale: int | None) -> None:
    """Raise ValueError if an overlay would be larger than a video can be."""
    height, width = source.size
    factor = default_scale(height, width) if scale is None else scale
    if factor * max(height, width) > VideoWriter.max_side:
        raise ValueError(
            f"{source.path}: found frames of {width}x{height} (width x height), to be drawn {factor} times as large "
            f"(--scale), expected at most {VideoWriter.max_side} pixels a side"
        )


def _make_output_folder(output: Path) -> None:
    """Raise OSError if files cannot be written to `output`."""
    probe = output / f".writable.{os.getpid()}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        expected = "expected a folder that can be written to"
        raise OSError(f"--output {output}: {expected}, found: {error.strerror}") from error


class Overlays:
    """Segments and draws videos and images, and gathers their results.

    Args:
        segmenter: finds the objects.
        threshold: smallest score that is drawn.
        scale: `DrawingStyle`'s.
        frame_rate: frames a second of the overlays of folders of frames.
    """

    def __init__(self, segmenter: VideoSegmenter, threshold: float, scale: int | None, frame_rate: float) -> None:
        self._segmenter = segmenter
        self._threshold, self._scale, self._frame_rate = threshold, scale, frame_rate
        self._inputs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in RESULTS_FILES}
        self._results: dict[str, list[dict[str, Any]]] = {kind: [] for kind in RESULTS_FILES}

    def make(self, jobs: Iterable[Job], output: Path) -> list[Exception | str]:
        """Do all jobs, up to an interrupt, and write the results, also of what was done before a crash.

        Returns:
            What was wrong with inputs that were used in part or not at all, and with overlays.
        """
        errors: list[Exception | str] = []
        try:
            with Interruption() as interruption:
                for job in jobs:
                    try:
                        found = self._do_image(job) if job.is_image else self._do_video(job, interruption)
                    except (VideoReadError, VideoWriteError) as error:
                        found = [error]
                    errors += found
                    if interruption.is_requested:
                        break
        finally:
            self._write_results(output)
        return errors

    def _do_video(self, job: Job, interruption: Interruption) -> list[Exception | str]:
        """Track and draw a video. Returns what was wrong with it if it broke on the way."""
        errors: list[Exception | str] = []
        try:
            frames = interruption.until_requested(job.source)
            prediction = self._segmenter(_progress(frames, job.source, "tracking"))
        except IncompleteVideoError as incomplete:
            prediction = incomplete.prediction
            errors.append(incomplete.__cause__)
        num_frames = prediction.num_frames
        self._inputs["videos"].append({**job.as_json(), "length": num_frames})
        self._results["videos"] += [
            {
                "video_id": job.id,
                "category_id": self._segmenter.classes.ids[track.label],
                "score": track.score,
                "segmentations": track.masks,
            }
            for track in prediction.tracks
        ]
        tracks = self._select(prediction.scores, prediction.labels, prediction.masks)
        drawer = self._drawer(job)
        with VideoWriter(job.overlay, job.source.frame_rate) as writer:
            readable = itertools.islice(job.source, num_frames)
            for index, frame in enumerate(_progress(readable, job.source, "drawing", num_frames)):
                writer.write(drawer.draw(frame, objects_on(tracks, index)))
        if interruption.is_requested:
            errors.append(f"{job.source.path}: interrupted after {num_frames} frames")
        elif not errors and num_frames < 0.9 * (job.source.num_frames or 0):
            logger.warning(f"{job.source.path} ends early: its header promises about {job.source.num_frames} frames")
        _report(job, f"{num_frames} frames", tracks)
        return errors

    def _do_image(self, job: Job) -> list[Exception | str]:
        """Segment and draw an image."""
        (frame,) = job.source
        found = instances_to_coco_json(self._segmenter.segment_image(frame).to("cpu"), job.id)
        labels = [instance["category_id"] for instance in found]
        tracks = self._select(
            [instance["score"] for instance in found],
            labels,
            [[instance["segmentation"]] for instance in found],
        )
        self._inputs["images"].append(job.as_json())
        ids = self._segmenter.classes.ids
        self._results["images"] += [
            {**instance, "category_id": ids[label]} for instance, label in zip(found, labels, strict=True)
        ]
        _, png = cv2.imencode(".png", self._drawer(job).draw(frame, objects_on(tracks, 0))[:, :, ::-1])
        with whole_file(job.overlay) as partial:
            partial.write_bytes(png.tobytes())
        _report(job, "image", tracks)
        return []

    def _select(
        self, scores: Sequence[float], labels: Sequence[int], masks: Sequence[Sequence[Any]]
    ) -> list[DrawnTrack]:
        return select_tracks(scores, labels, masks, self._segmenter.classes.names, self._threshold)

    def _drawer(self, job: Job) -> TrackDrawer:
        return TrackDrawer(*job.source.size, DrawingStyle(scale=self._scale))

    def _write_results(self, output: Path) -> None:
        """Write what there is, videos and images apart."""
        classes = self._segmenter.classes
        categories = [{"id": id_, "name": name} for id_, name in zip(classes.ids, classes.names, strict=True)]
        for kind, inputs in self._inputs.items():
            if inputs:
                write_list(output / RESULTS_FILES[kind], self._results[kind])
                write_json(output / f"{kind}.json", {kind: inputs, "categories": categories})


def _progress(frames: Iterable[np.ndarray], source: FrameSource, doing: str, total: int | None = None) -> tqdm:
    return tqdm(frames, desc=f"{source.path.name}: {doing}", total=total or source.num_frames, unit="frame")


def _report(job: Job, what: str, drawn: Sequence[DrawnTrack]) -> None:
    tracks = ", ".join(track.label for track in drawn) or "nothing above the threshold"
    logger.info(f"{job.source.path}: {what}, {tracks} -> {job.overlay}")
