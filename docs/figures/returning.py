# SPDX-License-Identifier: Apache-2.0
"""A video whose objects leave and come back, and the tracks that the toy model finds in it, by masks alone and with a
memory: python docs/figures/returning.py docs/returning.png"""

import sys
from collections.abc import Iterator

import cv2
import numpy as np

from ifc.pretrained import load
from ifc.ytvis.datasets.shapes import render_video
from ifc.ytvis.drawing import DrawingStyle, DrawnObject, TrackDrawer

MEMORY = ["MODEL.IFC.TRACKER.ASSOCIATION", "mask+embedding", "MODEL.IFC.TRACKER.MEMORY_FRAMES", 30]
SEED, LENGTH, SIZE, INSTANCES = 4, 40, (128, 192), 3
FRAMES = (5, 16, 33, 38)
SCALE, GAP = 2, 6
SHOWN = (288, 192)  # of a frame in the picture
LEAST_SCORE = 0.3  # of a track that is drawn


def overlay(frames: np.ndarray, keys: list) -> Iterator[np.ndarray]:
    """The frames with the tracks of a model with these keys on them."""
    model, drawer = load(device="cpu", opts=keys), TrackDrawer(*SIZE, DrawingStyle(scale=SCALE))
    for frame, found in zip(frames, model.stream(frames), strict=True):
        shown = {i: mask for i, mask in found.masks.items() if found.scores[i] >= LEAST_SCORE}
        names = {i: model.classes.names[found.labels[i]] for i in shown}
        yield drawer.draw(frame, [DrawnObject(i + 1, f"{names[i]} #{i + 1}", mask) for i, mask in shown.items()])


def main(target: str) -> None:
    """Write frames of the video, above the same ones with tracks by masks alone, and with a memory."""
    video = render_video(SEED, *SIZE, LENGTH, num_instances=INSTANCES, scenario="reentry").frames
    plain = (cv2.resize(frame, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC) for frame in video)
    rows = []
    for frames in (plain, overlay(video, []), overlay(video, MEMORY)):
        shown = [frame for index, frame in enumerate(frames) if index in FRAMES]
        shown = [cv2.resize(frame, SHOWN, interpolation=cv2.INTER_AREA) for frame in shown]
        rows.append(np.hstack([np.pad(frame, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for frame in shown]))
    picture = np.vstack(rows)[:-GAP, :-GAP]
    cv2.imwrite(target, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main(sys.argv[1])
