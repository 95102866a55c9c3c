# SPDX-License-Identifier: Apache-2.0
"""Segment a video and print the objects that were followed through it.

python examples/print_tracks.py video.mp4
"""

import sys

import ifc

segmenter = ifc.load()  # the toy model, which knows six shapes; ifc.load("hf://owner/name") is one of the hub
for track in segmenter(sys.argv[1]).tracks:
    if track.score > 0.3:
        frames = [index for index, mask in enumerate(track.masks) if mask is not None]
        name = segmenter.classes.names[track.label]
        print(f"#{track.instance_id} {name} {track.score:.2f}: frames {frames[0]} to {frames[-1]}")
