# SPDX-License-Identifier: Apache-2.0
"""Videos and images in, overlays and results out: the work of demo.py. It loads torch: import it after --help."""

import itertools
import logging
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils.logger import setup_logger

from ..engine import setup_config
from ..outputs import SegmentSettings, segment_videos
from ..outputs.sinks import OVERLAY_FILE
from ..predictor import SEGMENTER_DEFAULTS, Classes, VideoSegmenter
from ..video import FolderReader, FrameSource, ImageReader, VideoReadError, VideoWriteError, VideoWriter, open_frames
from ..ytvis.drawing import DrawingStyle, TrackDrawer, default_scale, objects_on, select_tracks
from ..ytvis.files import make_writable_folder, read_json, read_list, whole_file, write_json, write_list
from ..ytvis.segmented_video import MANIFEST_FILE, RESULTS_FILE
from .interruption import Interruption
from .program import one_clear_error, print_anything
from .progress import ProgressBars

logger = logging.getLogger(__name__)

RESULTS_FILES = {"videos": "results.json", "images": "image_results.json"}


def run(args: Namespace) -> None:
    """Do what demo.py's command line asks for; the program ends with status 1 if not all of it could be done."""
    print_anything()
    for name in ("detectron2", "fvcore", "ifc"):
        setup_logger(name=name)
    with one_clear_error():
        jobs, segmenter = prepare(args)
        settings = SegmentSettings(
            frame_rate=args.frame_rate,
            threshold=args.confidence_threshold,
            results_threshold=0,
            style=DrawingStyle(scale=args.scale),
        )
        try:
            errors = Overlays(segmenter, args.output, settings).make(jobs)
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
    make_writable_folder(args.output, "--output")
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


class Overlays:
    """Segments and draws videos and images, and gathers their results.

    Args:
        segmenter: finds the objects.
        output: the folder.
        settings: of videos.
    """

    def __init__(self, segmenter: VideoSegmenter, output: Path, settings: SegmentSettings) -> None:
        self._segmenter, self._output, self._settings = segmenter, output, settings
        self._inputs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in RESULTS_FILES}
        self._image_results: list[dict[str, Any]] = []

    def make(self, jobs: Iterable[Job]) -> list[str]:
        """Do all jobs, up to an interrupt, and write the results, also of what was done before a crash.

        Returns:
            What was wrong with inputs that were used in part or not at all, and with overlays.
        """
        errors: list[str] = []
        with (
            tempfile.TemporaryDirectory(prefix=".videos.", dir=self._output) as work,
            Interruption() as interruption,
        ):
            try:
                for job in jobs:
                    try:
                        if job.is_image:
                            self._do_image(job)
                        else:
                            errors += self._do_video(job, Path(work) / str(job.id), lambda: interruption.is_requested)
                    except (VideoReadError, VideoWriteError) as error:
                        errors.append(str(error))
                    if interruption.is_requested:
                        break
            finally:
                self._write_results(Path(work))
        return errors

    def _do_video(self, job: Job, work: Path, stop: Callable[[], bool]) -> list[str]:
        """Track and draw a video. Returns what was wrong with it if it broke on the way."""
        try:
            with ProgressBars() as progress:
                (outcome,) = segment_videos([job.source.path], work, self._segmenter, self._settings, progress, stop)
        finally:
            for manifest in work.glob(f"*/{MANIFEST_FILE}"):
                manifest.parent.rename(work.parent / f"{job.id}.done")
                self._take(job, work.parent / f"{job.id}.done")
        logger.info(f"{job.source.path}: {outcome.num_frames} frames -> {job.overlay}")
        stopped = [f"{job.source.path}: interrupted after {outcome.num_frames} frames"] if stop() else []
        return [outcome.error] if outcome.error else stopped

    def _take(self, job: Job, folder: Path) -> None:
        """Keep what there is of a video."""
        known = read_json(folder / MANIFEST_FILE)
        if known["num_frames"]:
            self._inputs["videos"].append({**job.as_json(), "length": known["num_frames"]})
            if job.overlay.is_dir():
                raise VideoWriteError(f"{job.overlay}: the video cannot be written: found a folder of this name")
            os.replace(folder / OVERLAY_FILE, job.overlay)

    def _do_image(self, job: Job) -> None:
        """Segment and draw an image."""
        (frame,) = job.source
        found = instances_to_coco_json(self._segmenter.segment_image(frame).to("cpu"), job.id)
        classes = self._segmenter.classes
        labels = [instance["category_id"] for instance in found]
        self._inputs["images"].append(job.as_json())
        self._image_results += [
            {**instance, "category_id": classes.ids[label]} for instance, label in zip(found, labels, strict=True)
        ]
        scores, masks = [each["score"] for each in found], [[each["segmentation"]] for each in found]
        tracks = select_tracks(scores, labels, masks, classes.names, self._settings.threshold)
        drawer = TrackDrawer(*job.source.size, self._settings.style)
        _, png = cv2.imencode(".png", drawer.draw(frame, objects_on(tracks, 0))[:, :, ::-1])
        with whole_file(job.overlay) as partial:
            partial.write_bytes(png.tobytes())
        shown = ", ".join(track.label for track in tracks) or "nothing above the threshold"
        logger.info(f"{job.source.path}: image, {shown} -> {job.overlay}")

    def _write_results(self, work: Path) -> None:
        """Write what there is, videos and images apart."""
        classes = self._segmenter.classes
        categories = [{"id": id_, "name": name} for id_, name in zip(classes.ids, classes.names, strict=True)]
        results = {"videos": self._video_results(work), "images": self._image_results}
        for kind, inputs in self._inputs.items():
            if inputs:
                write_list(self._output / RESULTS_FILES[kind], results[kind])
                write_json(self._output / f"{kind}.json", {kind: inputs, "categories": categories})

    def _video_results(self, work: Path) -> Iterator[dict[str, Any]]:
        """The tracks of all videos, one by one."""
        for video in self._inputs["videos"]:
            for track in read_list(work / f"{video['id']}.done" / RESULTS_FILE):
                yield {**track, "video_id": video["id"]}
