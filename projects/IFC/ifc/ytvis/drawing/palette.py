# SPDX-License-Identifier: Apache-2.0
"""The one palette: of tracks, objects and classes, in videos, reports and pages. Needs nothing but Python."""

import colorsys

_GOLDEN_RATIO = 0.618033988749895

Color = tuple[int, int, int]  # RGB, 0 to 255


def palette_color(number: int, *, without_red: bool = False) -> Color:
    """The RGB color of a track, object or class, 0 to 255, the same for the same number wherever it is shown.

    Hues go around the circle in steps of the golden ratio, so that neighboring numbers are far apart and the circle
    fills evenly however many there are; brightness alternates to tell hues that come close.

    Args:
        without_red: leave out the reds, for pictures in which red has a meaning of its own.
    """
    hue = (0.58 + number * _GOLDEN_RATIO) % 1.0
    if without_red:
        hue = 0.12 + 0.76 * hue
    value = (1.0, 0.85)[(number // 5) % 2]
    return tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, 0.75, value))


def text_color(background: Color) -> Color:
    """Black or white, whichever has the higher contrast (at least 4.5:1) by WCAG's relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (c / 255 for c in background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 1.05 * 0.05 else (255, 255, 255)
