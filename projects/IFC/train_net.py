#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
r"""Training and evaluation with detectron2's command line.

Train on 8 GPUs, starting from a COCO checkpoint:
    python projects/IFC/train_net.py --num-gpus 8 --config-file projects/IFC/configs/base_ytvis.yaml \
        MODEL.WEIGHTS path/to/model.pth

Evaluate with windows of F frames:
    python projects/IFC/train_net.py --num-gpus 8 --eval-only --config-file projects/IFC/configs/base_ytvis.yaml \
        MODEL.WEIGHTS path/to/model.pth INPUT.SAMPLING_FRAME_NUM F

With MODEL.DEVICE cpu, --num-gpus is the number of processes on the CPU. Under torchrun and SLURM's srun, which start
the processes themselves, leave --num-gpus, --num-machines, --machine-rank and --dist-url out.
"""

from ifc.cli.arguments import add_training_options
from ifc.cli.program import command_line

if __name__ == "__main__":
    parser = command_line(__doc__)
    add_training_options(parser)
    args = parser.parse_args()
    from ifc.cli.training import run  # after --help, which needs no torch

    run(args)
