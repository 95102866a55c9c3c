# SPDX-License-Identifier: Apache-2.0
"""Gradients of one process or of several on the same batch. As a program: two processes, which write theirs down.

Arguments: the configuration file and the folder for {scenario}_{rank}.pth.
"""

import sys
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils import comm

from ifc.engine import Processes, launch, setup_config
from ifc.engine.trainer import distribute

SIZE, NUM_FRAMES = (32, 48), 2
# name -> instances of each clip of the batch, changes of the configuration
SCENARIOS = {
    # Both processes have three instances.
    "equal": ([1, 2, 3, 0], []),
    # One process has none, and parameters could be left without a gradient.
    "unequal": (
        [0, 0, 1, 2],
        ["MODEL.IFC.PRE_NORM", "True", "MODEL.IFC.DEEP_SUPERVISION", "False"],
    ),
}


def make_batch(instances_of_clips: list[int]) -> list[dict]:
    """Clips of noise with so many instances each."""
    generator = torch.Generator().manual_seed(3)
    batch = []
    for num_instances in instances_of_clips:
        clip = {"image": [], "instances": []}
        for _ in range(NUM_FRAMES):
            clip["image"].append(torch.randint(256, (3, *SIZE), dtype=torch.uint8, generator=generator))
            frame = Instances(SIZE)
            frame.gt_classes = frame.gt_ids = torch.arange(num_instances)
            frame.gt_masks = BitMasks(torch.rand(num_instances, *SIZE, generator=generator) > 0.5)
            clip["instances"].append(frame)
        batch.append(clip)
    return batch


def gradients(cfg: CfgNode, instances_of_clips: list[int]) -> dict[str, torch.Tensor]:
    """Gradients of the sum of the losses for this process's share of the batch, averaged over the processes.

    The network computes in float64. On frames this small, group norm sees as little as two numbers, whose difference it
    makes large: float32's rounding, which depends on the number of threads, would be a thousandth of a gradient.
    """
    torch.manual_seed(0)
    model = build_model(cfg).double()
    model.criterion.float()  # which takes float32 from any network
    model = distribute(model)
    batch, rank, world_size = make_batch(instances_of_clips), comm.get_rank(), comm.get_world_size()
    share = batch[rank * len(batch) // world_size : (rank + 1) * len(batch) // world_size]
    found = {}
    for _ in range(2):  # only the second step notices if a parameter had no part in the first
        model.zero_grad()
        sum(model(share).values()).backward()
        found |= {name.removeprefix("module."): p.grad for name, p in model.named_parameters() if p.requires_grad}
    return found


def main(config_file: str, folder: str) -> None:
    for name, (instances_of_clips, opts) in SCENARIOS.items():
        found = gradients(setup_config(config_file, opts), instances_of_clips)
        torch.save(found, Path(folder, f"{name}_{comm.get_rank()}.pth"))


if __name__ == "__main__":
    launch(main, Processes(2, 1, 0, "auto", "cpu"), tuple(sys.argv[1:]))
