# SPDX-License-Identifier: Apache-2.0
"""Follow what a camera sees, as it sees it. A frame comes when its masks are final, a window after it was taken.

python examples/camera.py 0                      the first camera
python examples/camera.py rtsp://host/stream     one in the network
"""

import sys

import ifc

segmenter = ifc.load(window=3)  # a smaller window waits for fewer frames, and remembers less
# Two frames may wait for the network, so that a slow one does not lag further and further behind.
for frame in segmenter.stream(sys.argv[1], frames_ahead=2):
    seen = [segmenter.classes.names[frame.labels[i]] for i in frame.masks if frame.scores[i] > 0.3]
    print(f"frame {frame.index}: {', '.join(seen) or 'nothing'}", flush=True)
