# SPDX-License-Identifier: Apache-2.0
"""objects.jsonl, a line for each frame as it finishes, and results.json, which is made of it at the end."""

import json
import mmap
from collections.abc import Iterator
from pathlib import Path

from ..predictor import Classes
from ..ytvis.files import whole_file
from ..ytvis.segmented_video import OBJECTS_FILE, RESULTS_FILE
from .files import LineFile
from .frame import FinishedFrame, Sink
from .tracks import KeptTrack, TrackBook


class ObjectsSink(Sink):
    """Writes every object of every frame with the class and the score that it has until then; and, if it is wanted, the
    tracks in YTVIS's results format with the final ones, as the video with the id 1. Masks stay on the disk: they are
    copied from one file to the other.

    Args:
        folder: for the files.
        classes: names and ids of the labels.
        book: where the tracks are noted.
        results: write results.json, too.
    """

    def __init__(self, folder: Path, classes: Classes, book: TrackBook, results: bool):
        self.files = {"objects": OBJECTS_FILE}
        self._folder, self._classes, self._book, self._results = folder, classes, book, results
        self._file = LineFile(folder / OBJECTS_FILE)
        self._num_frames = 0

    def write(self, frame: FinishedFrame) -> None:
        """See `Sink`."""
        segmented, places = frame.segmented, {}
        line = bytearray(f'{{"frame": {frame.index}, "time": {round(frame.time, 6)}, "objects": ['.encode())
        for i, rle in segmented.masks.items():
            known = {
                "track_id": i,
                "category_id": self._classes.ids[segmented.labels[i]],
                "score": round(segmented.scores[i], 6),
                "bbox": frame.boxes[i],
            }
            line += (", " if places else "").encode() + json.dumps(known)[:-1].encode() + b', "segmentation": '
            places[i] = self._file.size + len(line)
            line += json.dumps(rle).encode() + b"}"
        line += b"]}\n"
        self._file.write(line)
        self._num_frames += 1
        self._book.add(segmented, places)

    def close(self, whole: bool) -> None:
        """See `Sink`."""
        self._file.close()
        if self._results:
            self._write_results()
            self.files["results"] = RESULTS_FILE

    def abandon(self, error: Exception) -> None:
        """See `Sink`."""
        self._file.close()

    def _write_results(self) -> None:
        objects = self._folder / OBJECTS_FILE
        with whole_file(self._folder / RESULTS_FILE) as partial, open(partial, "wb") as file, open(objects, "rb") as of:
            separator = b"[\n"
            with mmap.mmap(of.fileno(), 0, access=mmap.ACCESS_READ) as content:
                for label, score, track in self._book.results():
                    known = {"video_id": 1, "category_id": self._classes.ids[label], "score": score}
                    file.write(separator + json.dumps(known)[:-1].encode() + b', "segmentations": [')
                    file.write(b",".join(_segmentations(track, content, self._num_frames)) + b"]}")
                    separator = b",\n"
            file.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def _segmentations(track: KeptTrack, content: mmap.mmap, num_frames: int) -> Iterator[bytes]:
    """A track's masks as they stand in objects.jsonl, null where there is none."""
    end = 0
    for frame, place in zip(track.frames, track.places, strict=True):
        yield from [b"null"] * (frame - end)
        yield content[place : content.find(b"}", place) + 1]  # no text of an RLE has a brace
        end = frame + 1
    yield from [b"null"] * (num_frames - end)
