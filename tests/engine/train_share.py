# SPDX-License-Identifier: Apache-2.0
"""Gradients and trainings of one process or of several on the same batches.

As a program: one of the processes of a training by `ShareTrainer`; or, with --gradients FOLDER, the starter of two,
which first write their gradients to {scenario}_{rank}.pth there. The other options are train_net.py's.
"""

import copy
import json
import os
import signal
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn

from ifc.cli import main, training
from ifc.data.loaders import build_train_loader
from ifc.data.mapper import YTVISDatasetMapper
from ifc.engine import Processes, Trainer, launch, setup_config
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
    # Two clips of each of two videos, or of one: the other process has no pair.
    "appearance": ([2, 3, 1, 2], ["MODEL.IFC.APPEARANCE.DIM", "8", "MODEL.IFC.APPEARANCE.POOLED", "True"]),
    "one pair": ([2, 3, 1, 0], ["MODEL.IFC.APPEARANCE.DIM", "8"]),
}
BATCH, STEPS, PERIOD, LOST_AT = 4, 6, 3, 4  # clips, steps, steps between checkpoints, the step in which one is killed


def train_arguments(*words: str) -> Namespace:
    """What `ifc train` with these words hands to `training.run`."""
    with patch.object(training, "run") as run:
        main.main(["train", *words])
    return run.call_args.args[0]


def opts(world_size: int, folder: Path) -> list[str]:
    """The same training for any number of processes: clips one by one, and all else scaled by their number."""
    values = {
        "SOLVER.REFERENCE_WORLD_SIZE": 1,
        "SOLVER.IMS_PER_BATCH": BATCH // world_size,
        "SOLVER.ACCUMULATE": BATCH // world_size,
        "SOLVER.BASE_LR": 1e-3 / world_size,
        "SOLVER.STEPS": (4 * world_size,),
        "SOLVER.WARMUP_ITERS": 2 * world_size,
        "SOLVER.MAX_ITER": STEPS * world_size,
        "SOLVER.CHECKPOINT_PERIOD": PERIOD * world_size,
        "SEED": 1,
        "MODEL.WEIGHTS": folder / "start.pth",
        "OUTPUT_DIR": folder / str(world_size),
    }
    return [str(word) for pair in values.items() for word in pair]


def make_batch(instances_of_clips: list[int]) -> list[dict]:
    """Clips of noise with so many instances each."""
    generator = torch.Generator().manual_seed(3)
    batch = []
    for number, num_instances in enumerate(instances_of_clips):
        identities = [(number // 2, instance) for instance in range(num_instances)]
        clip = {"image": [], "instances": [], "identities": identities}
        for _ in range(NUM_FRAMES):
            clip["image"].append(torch.randint(256, (3, *SIZE), dtype=torch.uint8, generator=generator))
            frame = Instances(SIZE)
            frame.gt_classes = frame.gt_ids = torch.arange(num_instances)
            frame.gt_masks = BitMasks(torch.rand(num_instances, *SIZE, generator=generator) > 0.5)
            clip["instances"].append(frame)
        batch.append(clip)
    return batch


def in_float64(cfg: CfgNode) -> nn.Module:
    """A model whose network computes in float64. On frames this small, group norm sees as little as two numbers, whose
    difference it makes large: float32's rounding, which depends on the number of threads, would be a thousandth of a
    gradient.
    """
    model = build_model(cfg).double()
    model.criterion.float()  # which takes float32 from any network
    return model


def gradients(cfg: CfgNode, instances_of_clips: list[int]) -> dict[str, torch.Tensor]:
    """Gradients of the sum of the losses for this process's share of the batch, averaged over the processes.

    Embeddings are compared within a process; one process takes the shares of two one after the other for that.
    """
    torch.manual_seed(0)
    model = distribute(in_float64(cfg))
    batch, rank, world_size = make_batch(instances_of_clips), comm.get_rank(), comm.get_world_size()
    shares = [batch[rank * len(batch) // world_size : (rank + 1) * len(batch) // world_size]]
    if world_size == 1 and cfg.MODEL.IFC.APPEARANCE.DIM:
        shares = [batch[:2], batch[2:]]
    whole_batch = model.count_instances(batch) if len(shares) > 1 else None
    found = {}
    for _ in range(2):  # only the second step notices if a parameter had no part in the first
        model.zero_grad()
        for share in shares:
            sum(model(share, whole_batch).values()).backward()
        found |= {name.removeprefix("module."): p.grad for name, p in model.named_parameters() if p.requires_grad}
    return found


class MixedLengths:
    """Clips of two frames of every other video, and of three of the rest."""

    def __init__(self, cfg: CfgNode):
        self.mappers = []
        for num_frames in (2, 3):
            cfg = cfg.clone()
            cfg.defrost()
            cfg.INPUT.SAMPLING_FRAME_NUM = num_frames
            self.mappers.append(YTVISDatasetMapper(cfg, True))

    def __call__(self, record: dict) -> dict:
        return self.mappers[record["video_id"] % 2](record)


class ShareTrainer(Trainer):
    """Trains in float64 on `MixedLengths`; writes each step's loss down, and loses process 1 at step LOST_AT once if
    $LOSES_ONE is set.
    """

    build_model = staticmethod(in_float64)
    build_train_loader = staticmethod(lambda cfg: build_train_loader(cfg, MixedLengths(cfg)))

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, *test_sets: Any) -> dict[str, Any]:
        """In float32, the only type in which a model evaluates on the CPU besides bfloat16."""
        return super().test(cfg, copy.deepcopy(getattr(model, "module", model)).float(), *test_sets)

    def run_step(self) -> None:
        is_lost = "LOSES_ONE" in os.environ and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        if is_lost and (comm.get_rank(), self.iter) == (1, LOST_AT):
            os.kill(os.getpid(), signal.SIGKILL)
        super().run_step()
        if comm.is_main_process():
            loss, _ = get_event_storage().latest()["total_loss"]
            with open(Path(self.cfg.OUTPUT_DIR, "losses.json"), "a") as file:
                file.write(json.dumps([self.iter, loss]) + "\n")


def compare_gradients_and_train(args: Namespace) -> None:
    for name, (instances_of_clips, changes) in SCENARIOS.items():
        found = gradients(setup_config(args.config_file, changes), instances_of_clips)
        torch.save(found, Path(args.gradients, f"{name}_{comm.get_rank()}.pth"))
    training.Trainer = ShareTrainer
    training.main(args, setup_config(args.config_file, args.opts))


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--gradients", metavar="FOLDER")
    own, words = parser.parse_known_args()
    arguments = Namespace(**vars(train_arguments(*words)), gradients=own.gradients)
    if arguments.gradients is None:
        training.Trainer = ShareTrainer
        training.run(arguments)
    else:
        launch(compare_gradients_and_train, Processes(2, 1, 0, "auto", "cpu"), (arguments,))
