# SPDX-License-Identifier: Apache-2.0
"""Take the masks of a video as arrays, frame by frame: here for how much of the picture each object covers.

python examples/mask_areas.py video.mp4
"""

import sys

import ifc

segmenter = ifc.load()
for frame in segmenter.stream(sys.argv[1], frames_at_once=8):
    masks = frame.arrays()  # (N, height, width) bool, in the order of frame.masks
    for instance_id, mask in zip(frame.masks, masks, strict=True):
        name = segmenter.classes.names[frame.labels[instance_id]]
        print(f"frame {frame.index}: #{instance_id} {name} covers {100 * mask.mean():.1f} %")
