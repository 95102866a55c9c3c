# SPDX-License-Identifier: Apache-2.0
"""Export a model's two networks and run them by ONNX Runtime, as a program would that has neither torch nor ifc.

pip install 'detectron2-ifc[onnx]'
python examples/export_onnx.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

import ifc
from ifc.export import export_model

folder = Path(sys.argv[1])
difference = export_model(ifc.load(device="cpu"), folder)
print(f"exported; differs from PyTorch by {difference:.1e}")

frame_network = onnxruntime.InferenceSession(folder / "frame_network.onnx")
clip_network = onnxruntime.InferenceSession(folder / "clip_network.onnx")

frames = np.random.randint(0, 256, (5, 3, 96, 128), dtype=np.uint8)  # RGB
features = frame_network.run(None, {"frames": frames})  # once for each frame of a video
window = {value.name: feature[None] for value, feature in zip(clip_network.get_inputs(), features, strict=True)}
logits, masks, embeddings = clip_network.run(None, window)  # for each window of frames
print(f"class logits {logits.shape} and embeddings {embeddings.shape} of queries,")
print(f"mask logits {masks.shape} of queries and frames")
