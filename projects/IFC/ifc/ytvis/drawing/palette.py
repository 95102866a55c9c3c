# SPDX-License-Identifier: Apache-2.0
"""The one palette: of tracks, objects and classes, in videos, reports and pages. Needs nothing but Python."""

Color = tuple[int, int, int]  # RGB, 0 to 255


def _colors(text: str) -> tuple[Color, ...]:
    return tuple(tuple(bytes.fromhex(color)) for color in text.split())


# Found by simulated annealing among the bright colors: of any 12 in a row, no two come near one another for anybody.
# The least differences, by CIEDE2000, are 14 and, to the eyes of those who lack one kind of cones, 8.
_PALETTE = _colors(
    "11ffff 0088dd bb0033 ccff00 ff88bb 0044ee cc5566 88dd88 dd99ff ff1100 aa5599 eebb33 "
    "66ffdd 6677ff bb1100 ffee00 00bb99 7700ff ff2277 bbffaa bbaaff aa8800 aa0088 aabb44"
)
# And these, from a pure red, too.
_BESIDE_RED = _colors("0088ff aaaa33 7700ff bbffbb cc77aa 00aa66 6666aa eeff55 bbaaff eebb77 aa2277 00ffee")


def palette_color(number: int, *, without_red: bool = False) -> Color:
    """The RGB color of a track, object or class, 0 to 255, the same for the same number wherever it is shown.

    Any 12 numbers in a row have colors that can be told apart, also by color-blind people. They come again after 24
    numbers, without red after 12.

    Args:
        without_red: leave out what resembles red, for pictures in which red has a meaning of its own.
    """
    colors = _BESIDE_RED if without_red else _PALETTE
    return colors[number % len(colors)]


def text_color(background: Color) -> Color:
    """Black or white, whichever has the higher contrast (at least 4.5:1) by WCAG's relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (c / 255 for c in background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 1.05 * 0.05 else (255, 255, 255)
