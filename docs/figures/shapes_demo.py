# SPDX-License-Identifier: Apache-2.0
"""The picture of `make demo`, after it has run: python docs/figures/shapes_demo.py docs/shapes_demo.png"""

import sys
from itertools import islice

import cv2
import numpy as np

from ifc.video import open_frames

VIDEOS = ("output/demo/shapes.mp4", "output/demo/overlay/shapes.mp4")
FRAMES = (3, 18, 33, 50)
SIZE = (357, 238)  # of a frame in the picture
GAP = 6


def main(target: str) -> None:
    """Write frames of the video above the same frames of its overlay."""
    rows = []
    for path in VIDEOS:
        frames = list(islice(open_frames(path), FRAMES[-1] + 1))
        shown = [cv2.resize(frames[index], SIZE, interpolation=cv2.INTER_AREA) for index in FRAMES]
        rows.append(np.hstack([np.pad(frame, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for frame in shown]))
    picture = np.vstack(rows)[:-GAP, :-GAP]
    cv2.imwrite(target, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main(sys.argv[1])
