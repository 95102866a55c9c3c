#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The curves of one or several trainings as a picture: losses, AP, learning rates, gradient norm and time.

Example:
    python tools/plot_run.py output/first output/second --output curves.png

A RUN is the output folder of a training, or its metrics.json. A panel shows one kind of number of all runs, each run in
a color. Noisy numbers are smoothed, over a 25th of their run if --smoothing does not say otherwise, with what was
written behind it. Of iterations that stand there twice, as where runs were joined, the later ones are drawn. A training
that is still running can be drawn too. Needs no torch: NumPy and matplotlib are enough.
"""

from collections.abc import Sequence

from ifc.cli.program import command_line, new_file, one_clear_error, positive


@one_clear_error()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with the arguments `argv` (default: those of the command line)."""
    parser = command_line(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="an output folder or a metrics.json")
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="a PNG, PDF or SVG, by its name")
    text = "written values over whose mean noisy numbers are smoothed; 1 for none"
    parser.add_argument("--smoothing", type=positive, metavar="N", help=text)
    args = parser.parse_args(argv)

    # matplotlib, which --help can do without.
    from ifc.monitoring.metrics_file import metrics_path, read_metrics
    from ifc.monitoring.run_plot import plot_runs
    from ifc.ytvis.files import refuse_input, whole_file

    refuse_input(args.output, map(metrics_path, args.runs))
    figure = plot_runs({run: read_metrics(run) for run in args.runs}, args.smoothing)
    with whole_file(args.output) as partial:
        figure.savefig(partial, format=args.output.suffix[1:] or "png", dpi=110)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
