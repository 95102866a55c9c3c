# SPDX-License-Identifier: Apache-2.0
"""The picture of runs' curves, by what is in it."""

import numpy as np
import pytest

from ifc.monitoring.run_plot import plot_runs, smoothed


def curve(*values: float) -> tuple[np.ndarray, np.ndarray]:
    return 20 * np.arange(1, len(values) + 1) - 1, np.array(values)


def panels(figure) -> dict:
    return {axes.get_title(): axes for axes in figure.axes}


def test_two_runs():
    first = {
        "total_loss": curve(*np.linspace(9, 1, 100)),
        "loss_ce_0": curve(1, 2),
        "lr_rest": curve(0.1, 0.2),
        "lr_backbone": curve(0.01, 0.02),
        "lr": curve(0.01, 0.02),
        "segm/AP": curve(30, 40),
        "segm/AP50": curve(50, 60),
    }
    second = {"total_loss": curve(5, 4), "lr": curve(0.3, 0.3), "own_number": curve(1)}
    figure = plot_runs({"first $run": first, "second": second})
    shown = panels(figure)
    assert list(shown) == ["total loss", "AP, %", "learning rate"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [r"first \$run", "second"]

    colors = [handle.get_color() for handle in figure.legends[0].legend_handles]
    losses = shown["total loss"].get_lines()  # the first run's as written and smoothed, the second's too short for that
    assert [line.get_color() for line in losses] == [colors[0], colors[0], colors[1]]
    np.testing.assert_array_equal(losses[0].get_xydata(), np.column_stack(first["total_loss"]))
    np.testing.assert_array_equal(losses[1].get_ydata(), smoothed(first["total_loss"][1], 4))
    np.testing.assert_array_equal(losses[2].get_ydata(), [5, 4])
    (ap,) = shown["AP, %"].get_lines()
    np.testing.assert_array_equal(ap.get_ydata(), [30, 40])
    rates = shown["learning rate"].get_lines()
    assert [line.get_color() for line in rates] == [colors[0], colors[0], colors[1]]
    assert [line.get_ydata()[0] for line in rates] == [0.1, 0.01, 0.3]
    legend = shown["learning rate"].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["lr_rest", "lr_backbone", "lr"]
    assert [handle.get_linestyle() for handle in legend.legend_handles] == [line.get_linestyle() for line in rates]
    assert len({line.get_linestyle() for line in rates}) == 3
    assert [axes.get_yscale() for axes in shown.values()] == ["log", "linear", "linear"]
    figure.canvas.draw()


def test_smoothing_that_was_asked_for():
    runs = {"run": {"total_loss": curve(3, 1, 2)}}
    assert len(panels(plot_runs(runs, 1))["total loss"].get_lines()) == 1
    np.testing.assert_array_equal(panels(plot_runs(runs, 3))["total loss"].get_lines()[1].get_ydata(), [2, 2, 1.5])


def test_smoothed_is_the_mean_of_what_is_known():
    values = np.array([1.0, np.nan, 4, 7, 0, np.nan, np.nan, np.nan])
    for width in (1, 2, 3, 8, 20):
        around = [values[max(i - (width - 1) // 2, 0) : i + width // 2 + 1] for i in range(len(values))]
        expected = [np.nan if np.isnan(part).all() else np.nanmean(part) for part in around]
        np.testing.assert_allclose(smoothed(values, width), expected)


@pytest.mark.parametrize("values", [(2, 3), (0, 100)])
def test_losses_that_are_drawn_to_a_linear_scale(values):
    """Those that hardly change, and those without a logarithm."""
    assert panels(plot_runs({"run": {"total_loss": curve(*values)}}))["total loss"].get_yscale() == "linear"


def test_a_single_point_is_seen():
    (line,) = panels(plot_runs({"run": {"total_loss": curve(3)}}))["total loss"].get_lines()
    assert line.get_marker() == "."


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="^first, second: found .*'own'.*, expected"):
        plot_runs({"first": {"own": curve(1)}, "second": {}})
