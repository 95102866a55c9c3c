# SPDX-License-Identifier: Apache-2.0
"""Save a trained model as a folder that is complete in itself, config.json and model.safetensors, and load it again.

    python examples/save_and_load.py FOLDER

Uploaded to a hub (`hf upload owner/name FOLDER`), it is `ifc.load("hf://owner/name")`.
"""

import sys

import ifc

# Of a training of your own: ifc.load("output/model_final.pth", config_file="output/config.yaml")
segmenter = ifc.load(window=3)
segmenter.save_pretrained(sys.argv[1])

loaded = ifc.load(sys.argv[1])
print(f"{loaded.window} frames a window, classes: {', '.join(loaded.classes.names)}")
print(f"weights {loaded.weights_hash}")
