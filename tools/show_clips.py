#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A picture of training clips as a config makes them: a clip a row, each frame augmented and with its masks.

Example:
    python tools/show_clips.py --config-file projects/IFC/configs/base_ytvis_joint.yaml --output clips.png SEED 1

The same SEED gives the same clips. An instance has one color through its clip.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ifc.cli.arguments import add_config_options
from ifc.cli.program import command_line, new_file, one_clear_error, positive

GAP = 4  # pixels between two frames


@one_clear_error()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with the arguments `argv` (default: those of the command line)."""
    parser = command_line(__doc__)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="the picture, a PNG")
    parser.add_argument("--clips", type=positive, default=6, metavar="N", help="rows (default: %(default)s)")
    parser.add_argument("--width", type=positive, default=240, metavar="W", help="of a frame (default: %(default)s)")
    add_config_options(parser, required=True)
    args = parser.parse_args(argv)

    # Torch takes seconds to load, and --help can do without.
    from detectron2.data import MetadataCatalog
    from PIL import Image

    from ifc.data import build_train_loader
    from ifc.engine import setup_config
    from ifc.ytvis.files import whole_file

    cfg = setup_config(args.config_file, ["MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0", *args.opts])
    clips = itertools.islice(itertools.chain.from_iterable(build_train_loader(cfg)), args.clips)
    names = MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).get("thing_classes") or range(cfg.MODEL.IFC.NUM_CLASSES)
    labels = [*map(str, names), ""]
    rows = [_draw(clip, labels, args.width, cfg.INPUT.FORMAT) for clip in clips]
    height = max(frame.shape[0] for row in rows for frame in row)
    sheet = np.full((len(rows), height + GAP, len(rows[0]), args.width + GAP, 3), 255, dtype=np.uint8)
    for row, column in np.ndindex(len(rows), len(rows[0])):
        frame = rows[row][column]
        sheet[row, : frame.shape[0], column, : args.width] = frame
    sheet = sheet.reshape(-1, sheet.shape[2] * sheet.shape[3], 3)
    with whole_file(args.output) as partial:
        Image.fromarray(sheet[:-GAP, :-GAP]).save(partial, "PNG")
    print(f"{args.output}: {len(rows)} clips of {len(rows[0])} frames")


def _draw(clip: dict[str, Any], labels: Sequence[str], width: int, image_format: str) -> list[np.ndarray]:
    """The T frames of a clip, (h, width, 3) uint8 RGB each."""
    from pycocotools import mask as mask_api

    from ifc.ytvis.reports.pictures import draw_objects

    classes = np.min([frame.gt_classes.numpy() for frame in clip["instances"]], axis=0)  # an absent one's is the last
    drawn = []
    for image, instances in zip(clip["image"], clip["instances"], strict=True):
        pixels = image.permute(1, 2, 0).numpy()[..., :: 1 if image_format == "RGB" else -1]
        masks = [np.asfortranarray(mask, dtype=np.uint8) for mask in instances.gt_masks.tensor.numpy()]
        shown = [mask_api.encode(mask) if mask.any() else None for mask in masks]
        drawn.append(draw_objects(pixels, shown, [labels[label] for label in classes], width=width))
    return drawn


if __name__ == "__main__":
    main()
