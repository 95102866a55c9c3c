# SPDX-License-Identifier: Apache-2.0
"""Hand tracks to supervision, which draws, counts and measures: here objects that cross the middle of the picture.

pip install 'detectron2-ifc[supervision]'
python examples/count_crossings.py video.mp4
"""

import sys

import supervision as sv

import ifc

zone = None
for frame in ifc.load().stream(sys.argv[1], frames_at_once=8):
    detections = frame.to_supervision()
    if zone is None:
        height, width = frame.size
        zone = sv.LineZone(sv.Point(width // 2, height), sv.Point(width // 2, 0), [sv.Position.CENTER])
    zone.trigger(detections[detections.confidence > 0.3])
print(f"{zone.in_count} from left to right, {zone.out_count} from right to left")
