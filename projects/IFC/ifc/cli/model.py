# SPDX-License-Identifier: Apache-2.0
"""`ifc train`, and what is done with trainings and their models: `ifc plot`, `ifc strip` and `ifc analyze`."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Annotated

import typer

from ..ytvis.files import refuse_input, whole_file, write_json
from .program import ConfigFile, ConfigKeys, new_file, one_clear_error, option, positive, switch

# As detectron2: the same for every run of a user, so that processes that a run left behind are noticed.
PORT = 2**15 + 2**14 + (os.getuid() if hasattr(os, "getuid") else 1) % 2**14


def train(
    config_file: ConfigFile = "",
    resume: Annotated[bool, switch("--resume", "continue from the last checkpoint in OUTPUT_DIR")] = False,
    eval_only: Annotated[bool, switch("--eval-only", "evaluate MODEL.WEIGHTS on DATASETS.TEST, do not train")] = False,
    replay: Annotated[
        str | None, option("make a step again that a training wrote because its losses were not finite", "FILE")
    ] = None,
    num_gpus: Annotated[int, option("processes a machine", "N")] = 1,
    num_machines: Annotated[int, option("machines in all", "N")] = 1,
    machine_rank: Annotated[int, option("which of them this one is, from 0", "I")] = 0,
    dist_url: Annotated[
        str, option("where the processes meet: tcp://HOST:PORT of machine 0, or auto on one machine", "URL")
    ] = f"tcp://127.0.0.1:{PORT}",
    opts: ConfigKeys = (),
) -> None:
    """Train a model, or with --eval-only evaluate one, as detectron2's programs do.

    Train on 8 GPUs, starting from a COCO checkpoint:

    \b
        ifc train --num-gpus 8 --config-file base_ytvis.yaml MODEL.WEIGHTS path/to/model.pth

    Evaluate with windows of F frames:

    \b
        ifc train --num-gpus 8 --eval-only --config-file base_ytvis.yaml \\
            MODEL.WEIGHTS path/to/model.pth INPUT.SAMPLING_FRAME_NUM F

    With MODEL.DEVICE cpu, --num-gpus is the number of processes on the CPU. Under torchrun and SLURM's srun, which
    start the processes themselves, leave --num-gpus, --num-machines, --machine-rank and --dist-url out.
    """
    args = Namespace(**locals() | {"opts": list(opts)})
    # torch's C++ tells at length of a process that has ended, which the program says itself; read when it is loaded.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from .training import run

    run(args)


@one_clear_error()
def plot(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="output folders, or their metrics.json")],
    output: Annotated[Path, option("a PNG, PDF or SVG, by its name", "FILE", new_file)],
    smoothing: Annotated[
        int | None, option("written values over whose mean noisy numbers are smoothed; 1 for none", "N", positive)
    ] = None,
) -> None:
    """Draw the curves of trainings: losses, AP, learning rates, gradient norm and time.

    \b
    Example:
        ifc plot output/first output/second --output curves.png

    A RUN is the output folder of a training, or its metrics.json. A panel shows one kind of number of all runs, each
    run in a color. Noisy numbers are smoothed, over a 25th of their run if --smoothing does not say otherwise, with
    what was written behind it. Of iterations that stand there twice, as where runs were joined, the later ones are
    drawn. A training that is still running can be drawn too. Needs no torch: NumPy and matplotlib are enough.
    """
    from ..monitoring.metrics_file import metrics_path, read_metrics
    from ..monitoring.run_plot import plot_runs

    refuse_input(output, map(metrics_path, runs))
    figure = plot_runs({run: read_metrics(run) for run in runs}, smoothing)
    with whole_file(output) as partial:
        figure.savefig(partial, format=output.suffix[1:] or "png", dpi=110)
    print(f"wrote {output}")


@one_clear_error()
def strip(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="checkpoint of a training run")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="file to write")],
    half: Annotated[bool, switch("--half", "store the weights as float16")] = False,
) -> None:
    """Keep a checkpoint's weights alone.

    They are what evaluation, segmentation and finetuning read, and what one publishes. A training checkpoint holds the
    optimizer's state too, which triples its size.

    \b
    Example:
        ifc strip output/model_final.pth model.pth --half
    """
    from ..engine.checkpoint import strip_checkpoint

    print(f"{target}: {strip_checkpoint(source, target, half) / 2**20:.2f} MiB")


@one_clear_error()
def analyze(
    config_file: ConfigFile,
    window: Annotated[
        int | None, option("frames of a window", "T", show_default="the config's INPUT.SAMPLING_FRAME_NUM")
    ] = None,
    input_size: Annotated[tuple[int, int], option("size of the frames that the network sees", "H W", positive)] = (
        360,
        640,
    ),
    depth: Annotated[int, option("levels of modules in the table", "N", positive)] = 4,
    json: Annotated[Path | None, option("write the numbers of all modules, too", "FILE", new_file)] = None,
    opts: ConfigKeys = (),
) -> None:
    """Count parameters, FLOPs and activations of a config's network.

    They are counted module by module, by fvcore.

    \b
    Example:
        ifc analyze --config-file base_ytvis.yaml --input-size 360 640

    The network (with random weights, on the CPU) is traced on one window of frames. The numbers depend on shapes alone.

    A FLOP is one multiply-add, fvcore's and most papers' unit; a GPU's data sheet counts two. Counted are convolutions,
    linear layers, matrix products, normalizations, resizing, and attention: L · S · (E + V) a head, for L queries and S
    keys of width E and values of width V. What is not counted, element by element arithmetic above all, is listed with
    its number of calls; ReLU, copies and changes of shape are left out even there, as fvcore does.

    Activations are the values that convolutions, linear layers, matrix products and attention put out. Attention
    weights are none of them, because the fused kernels that IFC uses never store them.

    Work done in a module's own methods rather than in its submodules belongs to whoever called it: the product of mask
    weights and pixel features is in the whole alone, as the operator "matmul".

    Part of the network runs once a frame, the rest once a window (see `ifc.modeling.network`). Both parts are given,
    and what a frame of a long video costs at the config's MODEL.IFC.CLIP_STRIDE, the number of frames between two
    windows.
    """
    from ..benchmark.analysis import analyze_config

    analysis = analyze_config(config_file, window, input_size, opts)
    report = analysis.report()
    print(analysis.text(report, depth))
    if json is not None:
        write_json(json, {"config_file": config_file, "opts": list(opts), **report}, indent=2)
