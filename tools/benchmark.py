#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time and memory of what IFC does, on synthetic shapes, part by part and against plain ways of doing it.

Examples:
    python tools/benchmark.py inference --config-file projects/IFC/configs/base_ytvis.yaml --window 5 --device cpu
    python tools/benchmark.py training --config-file configs/quick_schedules/shapes_tiny.yaml --size 128 192
    python tools/benchmark.py loading --only speed --config-file projects/IFC/configs/base_ovis.yaml

Every moment belongs to one row. Processor time far below the total (on a CPU) says that other programs had the
processor, and that the times are not the machine's. Each --variant repeats a run with config options on top, beside the
others: that is how an option's own ratio is measured.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from ifc.cli.program import command_line, new_file, non_negative, one_clear_error, positive

ABOUT = {
    "inference": "A video, from its file to RLE. The defaults are the task that IFC's speed is measured by. The "
    "weights are random, so that what the network says is replaced after it was computed in full, by --instances "
    "shapes of up to 6 classes each. (Windows that share no frame share no instance: that is the number in each.)",
    "training": "Iterations of the trainer, from data to the optimizer's step, in seconds an iteration.",
    "stream": "Whether time and memory a frame stay the same through a long video whose masks are kept.",
    "loading": "The training mapper against one of detectron2's functions for images, in CPU time of one core; and the "
    "memory of worker processes. (PSS: what processes share counts once.)",
    "rle": "Masks from logits to RLE, against making them at their output size.",
    "overlay": "What drawing the tracks of a video adds to decoding and encoding it.",
    "metric": "The metric on a crowded video, a long one and a validation split, against one pair by pair.",
}
BASE_YTVIS = Path(__file__).resolve().parents[1] / "projects" / "IFC" / "configs" / "base_ytvis.yaml"
HELP = {
    "length": "frames of a video",
    "instances": "in a video, or of the annotations that workers hold",
    "videos": "of the data set, or of the annotations that workers hold",
    "size": "of the videos' frames",
    "input-size": "as the network sees the frames, or of the logits",
    "output-size": "of the video file and the masks",
    "repeat": "runs, of which the median one is reported",
    "iterations": "of a run",
    "part": "frames that make a column",
    "frames-at-once": "frames that pass the backbone together",
    "rounds": "in which the mappers take turns, the fastest of which counts",
    "samples": "clips of each mapper in a round",
    "workers": "processes that hold memory",
    "frames": "encoded at once",
    "masks": "in a frame",
}
DEFAULTS = {
    "inference": {"length": 36, "instances": 12, "input-size": (360, 640), "output-size": (720, 1280), "repeat": 1},
    "training": {"iterations": 5, "videos": 8, "length": 36, "instances": 4, "size": (360, 640), "repeat": 1},
    "stream": {"length": 10000, "part": 1000, "instances": 3, "size": (160, 240), "frames-at-once": 8},
    "loading": {"rounds": 6, "samples": 12, "workers": 8, "videos": 3000, "instances": 8171},
    "rle": {"masks": [12, 100], "frames": 1, "input-size": (90, 160), "output-size": (720, 1280), "repeat": 5},
    "overlay": {"length": 120, "instances": 10, "size": (720, 1280), "repeat": 3},
    "metric": {},
}
CONFIG_KEYS = {"window": "INPUT.SAMPLING_FRAME_NUM", "stride": "MODEL.IFC.CLIP_STRIDE", "device": "MODEL.DEVICE"}
CASES = ("crowded", "long", "validation")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line(__doc__)
    subparsers = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    for name, defaults in DEFAULTS.items():
        add = subparsers.add_parser(name, description=ABOUT[name], help=ABOUT[name]).add_argument
        for option, default in defaults.items():
            number = {"type": positive, "metavar": "N", "default": default}
            if isinstance(default, tuple):
                number |= {"nargs": 2, "metavar": ("H", "W")}
            elif isinstance(default, list):
                number |= {"nargs": "+"}
            add(f"--{option}", **number, help=f"{HELP[option]} (default: %(default)s)")
        if name in ("inference", "training"):
            text = "runs before, that do not count (default: 1 where it matters)"
            add("--warmup", type=non_negative, metavar="N", help=text)
            add("--variant", action="append", default=[], metavar='"KEY VALUE ..."', help="options; may be repeated")
            for option in ("window", "stride", "device"):
                add(f"--{option}", metavar="VALUE", help=f"{CONFIG_KEYS[option]} (default: the config's)")
        if name == "inference":
            add("--read-ahead", action="store_true", help="decode beside the rest, as demo.py does")
        elif name == "stream":
            add("--weights", required=True, metavar="FILE", help="a checkpoint of the config's model")
        elif name == "loading":
            add("--only", choices=("speed", "memory"), help="one of the two (default: both)")
        elif name == "rle":
            add("--device", default="cpu", metavar="NAME", help="cpu or cuda (default: %(default)s)")
        elif name == "metric":
            add("--case", choices=CASES, nargs="+", default=CASES, help="what to run (default: all)")
        add("--threads", type=positive, metavar="N", help="torch's on the CPU (default: torch's choice)")
        add("--json", type=new_file, metavar="FILE", help="write the numbers, too")
        if name not in ("rle", "overlay", "metric"):
            has_default = name == "loading"
            default = {"default": str(BASE_YTVIS)} if has_default else {"required": True}
            add("--config-file", **default, metavar="FILE", help="of IFC" + " (default: %(default)s)" * has_default)
            add("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config options, put last")
    return parser


@one_clear_error()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with the arguments `argv` (default: those of the command line)."""
    args = build_parser().parse_args(argv)
    if hasattr(args, "opts"):
        chosen = {key: getattr(args, name, None) for name, key in CONFIG_KEYS.items()}
        args.opts[:0] = [word for key, value in chosen.items() if value is not None for word in (key, str(value))]

    # Torch takes seconds to load, and --help can do without.
    from ifc.benchmark.measuring import machine, report_text
    from ifc.ytvis.files import write_json

    subcommand = import_module(f"ifc.benchmark.time_{args.subcommand}")
    if args.threads is not None:
        import_module("torch").set_num_threads(args.threads)
    report = subcommand.run(args)
    print(f"{machine()}\n\n{report_text(report)}")
    if args.json is not None:
        arguments = {name: value for name, value in vars(args).items() if name != "json"}
        write_json(args.json, {"machine": machine(), "arguments": arguments, "numbers": report}, indent=2)


if __name__ == "__main__":
    main()
