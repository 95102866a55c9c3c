# SPDX-License-Identifier: Apache-2.0
"""
Track the objects of videos and draw them: videos in, overlay videos and results out.

    python projects/IFC/demo.py --config-file CFG --input VIDEO [VIDEO ...] --output DIR \\
        [--confidence-threshold 0.3] [MODEL.WEIGHTS model.pth] [KEY VALUE ...]

An input is a video file, a folder of frames (an image file each, in natural order) or a single image. DIR receives

- NAME.mp4 for each video: one color a track, with its class, score and id (H.264, no sound; the frame rate of
  the input; small videos are enlarged by a whole factor so that the labels are readable). NAME.png for each image.
- results.json: all tracks of all videos, also those below the threshold, in YTVIS's results format (a list of
  {video_id, category_id, score, segmentations}), and videos.json, which says what the ids mean: {"videos": [{id,
  file_name, length, height, width, overlay}], "categories": [{id, name}]}. Videos are numbered from 1 as given.
- image_results.json and images.json: the same for images, in COCO's results format.

Every input is opened before any work, so that a wrong one is known at once. What is computed when a video proves to be
damaged further on is kept: the frames before the damage count as a shorter video, the other inputs follow, and the
program ends with an error. So it is when tracking is interrupted (Ctrl-C), but that the other inputs do not follow; a
second interrupt ends the program at once, with the results of the videos that were tracked. Needs the time of one
network pass a frame; frames are decoded as they are used (twice), so that memory does not grow with the size of the
video's frames.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import cv2
import numpy as np
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils.logger import setup_logger
from tqdm import tqdm

from ifc.engine import setup_config
from ifc.predictor import SEGMENTER_DEFAULTS, Classes, IncompleteVideoError, VideoSegmenter
from ifc.video import FolderReader, FrameSource, ImageReader, VideoReadError, VideoWriteError, VideoWriter, open_frames
from ifc.ytvis.drawing import OverlayDrawer, default_scale, select_tracks
from ifc.ytvis.files import whole_file, write_json

logger = logging.getLogger("detectron2.ifc.demo")


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Track the objects of videos, and draw them.",
        epilog="Example: demo.py --config-file projects/IFC/configs/base_ytvis.yaml --input cats.mp4 --output out "
        "MODEL.WEIGHTS model.pth MODEL.DEVICE cpu",
    )
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--input", required=True, nargs="+", type=Path, metavar="PATH", help="video files, folders of frames, images"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for overlays and results")
    parser.add_argument(
        "--confidence-threshold", type=float, default=0.3, help="smallest score that is drawn (default 0.3)"
    )
    parser.add_argument(
        "--frame-rate",
        type=float,
        default=10.0,
        help="frames a second of the overlays of folders of frames, which have no rate of their own (default 10)",
    )
    parser.add_argument(
        "--scale",
        type=int,
        help="enlarge the overlays by this whole factor (default: the smallest that makes the shorter side 360 pixels)",
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config options, put last")
    return parser


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


def plan_jobs(inputs: Sequence[Path], output: Path) -> list[Job]:
    """
    Open every input and give each an overlay of its own, under its own name if that is free and not that of an input or
    of a frame of one. Videos and images are numbered apart, from 1.

    Raises:
        ValueError: if an input cannot be read.
    """
    jobs: list[Job] = []
    sources = [open_frames(path) for path in inputs]
    input_files = {path.resolve() for path in inputs}
    input_files |= {file.resolve() for source in sources if isinstance(source, FolderReader) for file in source.files}
    taken: set[Path] = set()
    for path, source in zip(inputs, sources, strict=True):
        is_image = isinstance(source, ImageReader)
        number = 1 + sum(job.is_image == is_image for job in jobs)
        suffix = ".png" if is_image else ".mp4"
        name = path.resolve().name if path.is_dir() else path.stem
        if (output / (name + suffix)).resolve() in input_files:
            name += "_overlay"
        names = itertools.chain([name], (f"{name}_{k}" for k in itertools.count(2)))
        overlay = next(
            output / (n + suffix) for n in names if (output / (n + suffix)).resolve() not in taken | input_files
        )
        taken.add(overlay.resolve())
        jobs.append(Job(number, source, overlay))
    return jobs


def make_output_folder(output: Path) -> None:
    """
    Raises:
        OSError: if files cannot be written to ``output``.
    """
    probe = output / f".writable.{os.getpid()}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(
            f"--output {output}: expected a folder that can be written to, found: {error.strerror}"
        ) from error


class InterruptedVideoError(VideoReadError):
    """A video of which no more was read, because the user interrupted the program."""


class Interruption:
    """
    A context in which an interrupt (Ctrl-C) ends the frames instead of the program, so that what was found in those
    before it is not lost. A second one ends the program, as ever.
    """

    def __init__(self) -> None:
        self.is_requested = False

    def __enter__(self) -> Interruption:
        self._previous = signal.getsignal(signal.SIGINT)
        if self._previous != signal.SIG_IGN:  # as it is for programs in the background
            signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def _request(self, signum: int, frame: FrameType | None) -> None:
        self.is_requested = True
        signal.signal(signal.SIGINT, self._previous)
        logger.warning("Interrupted: what was read so far is finished and written. Again to stop at once.")

    def until_requested(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The frames up to an interrupt, at least the first."""
        for frame in frames:
            yield frame
            if self.is_requested:
                return


@dataclass
class Demo:
    """Runs the jobs and gathers their results."""

    segmenter: VideoSegmenter
    confidence_threshold: float
    scale: int | None
    frame_rate: float
    videos: list[dict[str, Any]] = field(default_factory=list)
    video_results: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    image_results: list[dict[str, Any]] = field(default_factory=list)

    def run_video(self, job: Job) -> VideoReadError | None:
        """Track and draw a video. Returns what was wrong with it if it broke on the way."""
        error = None
        try:
            with Interruption() as interruption:
                frames = interruption.until_requested(job.source)
                prediction = self.segmenter(_progress(frames, job.source, "tracking"))
        except IncompleteVideoError as incomplete:
            prediction, error = incomplete.prediction, incomplete.__cause__
        num_frames = prediction.num_frames
        if interruption.is_requested:
            error = InterruptedVideoError(f"{job.source.path}: interrupted after {num_frames} frames")
        self.videos.append({**job.as_json(), "length": num_frames})
        self.video_results += [
            {
                "video_id": job.id,
                "category_id": self.segmenter.classes.ids[track.label],
                "score": track.score,
                "segmentations": track.masks,
            }
            for track in prediction.tracks
        ]
        drawer = self._drawer(job, prediction.scores, prediction.labels, prediction.masks)
        with VideoWriter(job.overlay, job.source.frame_rate or self.frame_rate) as writer:
            readable = itertools.islice(job.source, num_frames)
            for index, frame in enumerate(_progress(readable, job.source, "drawing", num_frames)):
                writer.write(drawer.draw_frame(frame, index))
        if error is None and num_frames < 0.9 * (job.source.num_frames or 0):
            logger.warning(f"{job.source.path} ends early: its header promises about {job.source.num_frames} frames")
        _report(job, f"{num_frames} frames", drawer)
        return error

    def run_image(self, job: Job) -> None:
        """Segment and draw an image."""
        (frame,) = job.source
        found = instances_to_coco_json(self.segmenter.segment_image(frame).to("cpu"), job.id)
        drawer = self._drawer(
            job,
            [instance["score"] for instance in found],
            [instance["category_id"] for instance in found],
            [[instance["segmentation"]] for instance in found],
        )
        self.images.append(job.as_json())
        self.image_results += [
            {**instance, "category_id": self.segmenter.classes.ids[instance["category_id"]]} for instance in found
        ]
        _, png = cv2.imencode(".png", drawer.draw_frame(frame, 0)[:, :, ::-1])
        with whole_file(job.overlay) as partial:
            partial.write_bytes(png.tobytes())
        _report(job, "image", drawer)

    def _drawer(
        self, job: Job, scores: Sequence[float], labels: Sequence[int], masks: Sequence[Sequence[Any]]
    ) -> OverlayDrawer:
        tracks = select_tracks(scores, labels, masks, self.segmenter.classes.names, self.confidence_threshold)
        return OverlayDrawer(tracks, *job.source.size, scale=self.scale)

    def write_results(self, output: Path) -> None:
        """Write what there is, videos and images apart."""
        classes = self.segmenter.classes
        categories = [{"id": id_, "name": name} for id_, name in zip(classes.ids, classes.names, strict=True)]
        if self.videos:
            write_json(output / "results.json", self.video_results, default=list)  # masks are sequences
            write_json(output / "videos.json", {"videos": self.videos, "categories": categories})
        if self.images:
            write_json(output / "image_results.json", self.image_results)
            write_json(output / "images.json", {"images": self.images, "categories": categories})


def prepare(args: argparse.Namespace) -> tuple[Demo, list[Job]]:
    """
    Everything that comes before the work, and may turn out to be impossible.

    Raises:
        OSError, ValueError: for a wrong argument, config, checkpoint, input or output folder.
    """
    if not 0 <= args.confidence_threshold <= 1:
        raise ValueError(f"--confidence-threshold: found {args.confidence_threshold}, expected 0 to 1")
    if not 0.001 <= args.frame_rate <= 1000:
        raise ValueError(f"--frame-rate: found {args.frame_rate}, expected 0.001 to 1000")
    if args.scale is not None and args.scale < 1:
        raise ValueError(f"--scale: found {args.scale}, expected at least 1")
    cfg = setup_config(args.config_file, args.opts, program_defaults=SEGMENTER_DEFAULTS)
    Classes.of_config(cfg)  # before the time that the weights take
    jobs = plan_jobs(args.input, args.output)
    require_drawable(jobs, args.scale)
    make_output_folder(args.output)
    if cfg.INPUT.SAMPLING_FRAME_NUM <= cfg.MODEL.IFC.CLIP_STRIDE and not all(job.is_image for job in jobs):
        logger.warning(
            "Windows do not overlap, so that no object is followed from one to the next: INPUT.SAMPLING_FRAME_NUM is "
            f"{cfg.INPUT.SAMPLING_FRAME_NUM}, MODEL.IFC.CLIP_STRIDE {cfg.MODEL.IFC.CLIP_STRIDE}."
        )
    segmenter = VideoSegmenter(cfg)
    for job in jobs:
        segmenter.require_size(*job.source.size, str(job.source.path))
    return Demo(segmenter, args.confidence_threshold, args.scale, args.frame_rate), jobs


def require_drawable(jobs: Sequence[Job], scale: int | None) -> None:
    """
    Raises:
        ValueError: if an overlay would be larger than a video can be.
    """
    for job in jobs:
        height, width = job.source.size
        factor = default_scale(height, width) if scale is None else scale
        if factor * max(height, width) > VideoWriter.max_side:
            raise ValueError(
                f"{job.source.path}: found frames of {width}x{height} (width x height), to be drawn {factor} times as "
                f"large (--scale), expected at most {VideoWriter.max_side} pixels a side"
            )


def run(demo: Demo, jobs: Sequence[Job], output: Path) -> list[VideoReadError | VideoWriteError]:
    """Do all jobs, up to an interrupt, and write the results. Returns what was wrong with inputs that were used in part
    or not at all, and with overlays."""
    errors: list[VideoReadError | VideoWriteError] = []
    try:
        for job in jobs:
            try:
                error = demo.run_image(job) if job.is_image else demo.run_video(job)
            except (VideoReadError, VideoWriteError) as wrong:
                error = wrong
            if error is not None:
                errors.append(error)
            if isinstance(error, InterruptedVideoError):
                break
    finally:  # also after an interrupt: what is computed is kept
        demo.write_results(output)
    return errors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. Returns the exit status: 0, or 1 after an error, which is written to stderr."""
    args = get_parser().parse_args(argv)
    sys.stdout.reconfigure(errors="backslashreplace")  # for names of classes that the terminal cannot show
    setup_logger(name="fvcore")
    setup_logger()
    try:
        demo, jobs = prepare(args)
    except (OSError, ValueError) as error:
        return _fail([error])
    try:
        return _fail(run(demo, jobs, args.output))
    except OSError as error:  # the disk is full
        return _fail([error])
    except KeyboardInterrupt:
        return _fail([KeyboardInterrupt(f"interrupted; {args.output} has what was tracked before")])


def _fail(errors: Sequence[BaseException]) -> int:
    for error in errors:
        print(f"demo.py: error: {error}", file=sys.stderr)
    return 1 if errors else 0


def _progress(frames: Iterable[np.ndarray], source: FrameSource, doing: str, total: int | None = None) -> tqdm:
    return tqdm(frames, desc=f"{source.path.name}: {doing}", total=total or source.num_frames, unit="frame")


def _report(job: Job, what: str, drawer: OverlayDrawer) -> None:
    tracks = ", ".join(track.label for track in drawer.tracks) or "nothing above the threshold"
    logger.info(f"{job.source.path}: {what}, {tracks} -> {job.overlay}")


if __name__ == "__main__":
    sys.exit(main())
