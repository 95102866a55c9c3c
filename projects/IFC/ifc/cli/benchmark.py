# SPDX-License-Identifier: Apache-2.0
"""`ifc benchmark …`, a command for each module `time_` … of `ifc.benchmark`."""

from argparse import Namespace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from ..ytvis.files import make_writable_folder, write_json
from .program import (
    KEYS_LAST,
    ConfigFile,
    ConfigKeys,
    SeveralValues,
    amount,
    new_file,
    non_negative,
    one_clear_error,
    one_of,
    option,
    positive,
    say,
    switch,
)
from .returning import returning

CASES = ("crowded", "long", "validation")
CONFIG_KEYS = {"window": "INPUT.SAMPLING_FRAME_NUM", "stride": "MODEL.IFC.CLIP_STRIDE", "device": "MODEL.DEVICE"}

app = typer.Typer(
    no_args_is_help=True,
    help="""Measure time and memory of what IFC does, part by part and against plain ways of doing it.

    It is measured on synthetic shapes. Every moment belongs to one row. Processor time far below the total (on a CPU)
    says that other programs had the processor, and that the times are not the machine's. Each --variant repeats a run
    with config options on top, beside the others: that is how an option's own ratio is measured.""",
)


def number(help: str, metavar: str = "N") -> Any:
    """An option of one whole number from 1, or as many as `metavar` has words."""
    return option(help, metavar, positive)


Length = Annotated[int, number("frames of a video")]
Instances = Annotated[int, number("in a video, or of the annotations that workers hold")]
Videos = Annotated[int, number("of the data set, or of the annotations that workers hold")]
Size = Annotated[tuple[int, int], number("of the videos' frames", "H W")]
InputSize = Annotated[tuple[int, int], number("as the network sees the frames, or of the logits", "H W")]
OutputSize = Annotated[tuple[int, int], number("of the video file and the masks", "H W")]
Repeat = Annotated[int, number("runs, of which the median one is reported")]
Warmup = Annotated[
    int | None, option("runs before, that do not count", "N", non_negative, show_default="1 where it matters")
]
Variant = Annotated[list[str], option("options; may be repeated", '"KEY VALUE ..."')]
Window, Stride, Device = (
    Annotated[str | None, option(key, "VALUE", show_default="the config's")] for key in CONFIG_KEYS.values()
)
Threads = Annotated[int | None, option("torch's on the CPU", "N", positive)]
JsonFile = Annotated[Path | None, option("write the numbers, too", "FILE", new_file)]


@one_clear_error()
def _measure(name: str, arguments: dict[str, Any]) -> None:
    """Run `ifc.benchmark.time_`name with these arguments, print what it measures, and write it."""
    args = Namespace(**arguments)
    if "opts" in arguments:
        chosen = {key: arguments.get(option) for option, key in CONFIG_KEYS.items()}
        args.opts = [word for key, value in chosen.items() if value is not None for word in (key, value)]
        args.opts += arguments["opts"]

    from ..benchmark.measuring import machine, report_text

    module = import_module(f"..benchmark.time_{name}", __package__)
    if args.threads is not None:
        import_module("torch").set_num_threads(args.threads)
    report = module.run(args)
    print(f"{machine()}\n\n{report_text(report)}")
    if args.json is not None:
        shown = {"subcommand": name, **vars(args)}
        del shown["json"]
        write_json(args.json, {"machine": machine(), "arguments": shown, "numbers": report}, indent=2)


@app.command(context_settings=KEYS_LAST)
def inference(
    config_file: ConfigFile,
    length: Length = 36,
    instances: Instances = 12,
    input_size: InputSize = (360, 640),
    output_size: OutputSize = (720, 1280),
    repeat: Repeat = 1,
    warmup: Warmup = None,
    variant: Variant = (),
    window: Window = None,
    stride: Stride = None,
    device: Device = None,
    read_ahead: Annotated[
        bool, switch("--read-ahead", "decode beside the rest, as the segmentation of videos does")
    ] = False,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="also the network as it is exported, run by ONNX Runtime on the CPU")
    ] = False,
    threads: Threads = None,
    json: JsonFile = None,
    opts: ConfigKeys = (),
) -> None:
    """A video, from its file to RLE.

    The defaults are the task that IFC's speed is measured by. The weights are random, so that what the network says is
    replaced after it was computed in full, by --instances shapes of up to 6 classes each. (Windows that share no frame
    share no instance: that is the number in each.)

    \b
    Examples:
        ifc benchmark inference --config-file base_ytvis.yaml --window 5 --device cpu
        ifc benchmark inference --config-file base_ytvis.yaml --variant "MODEL.IFC.PRECISION bfloat16"
    """
    _measure("inference", locals())


@app.command(context_settings=KEYS_LAST)
def training(
    config_file: ConfigFile,
    iterations: Annotated[int, number("of a run")] = 5,
    videos: Videos = 8,
    length: Length = 36,
    instances: Instances = 4,
    size: Size = (360, 640),
    repeat: Repeat = 1,
    warmup: Warmup = None,
    variant: Variant = (),
    window: Window = None,
    stride: Stride = None,
    device: Device = None,
    threads: Threads = None,
    json: JsonFile = None,
    opts: ConfigKeys = (),
) -> None:
    """Iterations of the trainer, from data to the optimizer's step, in seconds an iteration.

    \b
    Example:
        ifc benchmark training --config-file configs/quick_schedules/shapes_tiny.yaml --size 128 192
    """
    _measure("training", locals())


@app.command(context_settings=KEYS_LAST)
def stream(
    config_file: ConfigFile,
    weights: Annotated[str, option("a checkpoint of the config's model", "FILE")],
    length: Length = 10000,
    part: Annotated[int, number("frames that make a column")] = 1000,
    instances: Instances = 3,
    size: Size = (160, 240),
    frames_at_once: Annotated[int, number("frames that pass the backbone together")] = 8,
    threads: Threads = None,
    json: JsonFile = None,
    opts: ConfigKeys = (),
) -> None:
    """Whether time and memory a frame stay the same through a long video whose masks are kept.

    \b
    Example:
        ifc benchmark stream --config-file base_ytvis.yaml --weights model.pth --length 2000
    """
    _measure("stream", locals())


@app.command(context_settings=KEYS_LAST)
def loading(
    config_file: ConfigFile = "base_ytvis.yaml",
    rounds: Annotated[int, number("in which the mappers take turns, the fastest of which counts")] = 6,
    samples: Annotated[int, number("clips of each mapper in a round")] = 12,
    workers: Annotated[int, number("processes that hold memory")] = 8,
    videos: Videos = 3000,
    instances: Instances = 8171,
    only: Annotated[
        str | None, typer.Option(parser=one_of("speed", "memory"), metavar="speed|memory", show_default="both")
    ] = None,
    threads: Threads = None,
    json: JsonFile = None,
    opts: ConfigKeys = (),
) -> None:
    """The training mapper against one of detectron2's functions for images.

    In CPU time of one core; and the memory of worker processes. (PSS: what processes share counts once.)

    \b
    Example:
        ifc benchmark loading --only speed --config-file base_ovis.yaml
    """
    _measure("loading", locals())


@app.command(cls=SeveralValues)
def rle(
    masks: Annotated[list[int], number("in a frame", "N ...")] = (12, 100),
    frames: Annotated[int, number("encoded at once")] = 1,
    input_size: InputSize = (90, 160),
    output_size: OutputSize = (720, 1280),
    repeat: Repeat = 5,
    device: Annotated[str, option("cpu or cuda", "NAME")] = "cpu",
    threads: Threads = None,
    json: JsonFile = None,
) -> None:
    """Masks from logits to RLE, against making them at their output size.

    \b
    Example:
        ifc benchmark rle --masks 12 100 --device cuda
    """
    _measure("rle", locals())


@app.command()
def overlay(
    length: Length = 120,
    instances: Instances = 10,
    size: Size = (720, 1280),
    repeat: Repeat = 3,
    threads: Threads = None,
    json: JsonFile = None,
) -> None:
    """What drawing the tracks of a video adds to decoding and encoding it.

    \b
    Example:
        ifc benchmark overlay --instances 10 --size 720 1280
    """
    _measure("overlay", locals())


@app.command()
def pipeline(
    length: Length = 576,
    slow: Annotated[int, number("milliseconds a frame of the slowest stage")] = 10,
    fast: Annotated[int, number("milliseconds a frame of the others")] = 7,
    threads: Threads = None,
    json: JsonFile = None,
) -> None:
    """Whether all stages of `ifc segment` overlap, by stand-ins that take a given time without a processor.

    \b
    Example:
        ifc benchmark pipeline --slow 10 --fast 7
    """
    _measure("pipeline", locals())


@app.command("gpu-report")
@one_clear_error()
def gpu_report(
    output: Annotated[Path, option("the folder of report.md, report.json and log.txt; made if missing", "DIR")],
    minutes: Annotated[float, option("that all steps have together", "N", amount)] = 8,
    device: Annotated[str, option("cuda, cuda:1, …; on cpu in toy sizes, to try the report itself", "NAME")] = "cuda",
    golden: Annotated[Path | None, option("the reference numbers", "DIR", show_default="tests/golden")] = None,
) -> None:
    """All that is to be known of a GPU, in one command and a given time.

    Versions and clocks, golden numbers, the tests marked gpu, inference, a long video, training. The report is written
    after each number, so that a run that ends early has lost nothing. It needs a checkout, for the numbers and the
    tests, but not to be installed: PYTHONPATH=projects/IFC will do.

    \b
    Example:
        ifc benchmark gpu-report --minutes 8 --output report
    """
    from ..benchmark.gpu_report.runner import STEPS, make_report
    from ..benchmark.gpu_report.settings import PACKAGE, Settings

    if device != "cpu" and not import_module("torch").cuda.is_available():
        raise ValueError(f"--device: found {device!r}, but no GPU is visible; --device cpu tries the report itself")
    make_writable_folder(output, "--output")
    checkout = PACKAGE.parents[2]
    settings = Settings(device, str(checkout), str((golden or checkout / "tests" / "golden").resolve()))
    command = f"ifc benchmark gpu-report --minutes {minutes:g} --device {device} --output report"
    make_report(STEPS, settings, minutes, output, command, say)
    print(output / "report.md")


app.command("returning", context_settings=KEYS_LAST)(returning)


@app.command(cls=SeveralValues)
def metric(
    case: Annotated[list[str], option(f"what to run, of {', '.join(CASES)}", "CASE ...", one_of(*CASES))] = CASES,
    threads: Threads = None,
    json: JsonFile = None,
) -> None:
    """The metric on a crowded video, a long one and a validation split, against one pair by pair.

    \b
    Example:
        ifc benchmark metric --case crowded long
    """
    _measure("metric", locals())
