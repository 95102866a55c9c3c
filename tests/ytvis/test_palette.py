# SPDX-License-Identifier: Apache-2.0
"""The palette, as people with and without color blindness see it."""

import numpy as np
import pytest

from ifc.ytvis.drawing import palette_color
from ifc.ytvis.reports.pictures import WRONG

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009:
# linear RGB as it looks to those who lack a kind of cones.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.119192, 0.9503041]]
)


def to_lab(color, vision):
    """CIELAB, for the white of sRGB, of an RGB color, 0 to 255."""
    rgb = np.divide(color, 255)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(VISIONS[vision]) @ linear, 0, 1) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(one, other):
    """The difference of two CIELAB colors by CIE 142-2001; 2.3 or so can just be seen."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(c7 / (c7 + 25**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    hue = np.arctan2(b1, a1)
    turn = (np.arctan2(b2, a2) - hue + np.pi) % (2 * np.pi) - np.pi
    lightness, chroma, hue = (l1 + l2) / 2, (c1 + c2) / 2, np.degrees(hue + turn / 2) % 360
    cosines = [np.cos(np.radians(k * hue + shift)) for k, shift in ((1, -30), (2, 0), (3, 6), (4, -63))]
    t = 1 + np.dot([-0.17, 0.24, 0.32, -0.2], cosines)
    dl = (l2 - l1) / (1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2))
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2) / (1 + 0.015 * chroma * t)
    angle = np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25**7)) * np.sin(angle)
    return np.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh)


def test_difference_is_the_one_that_was_published():
    """Pairs 1, 10, 17 and 25 of Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula", 2005."""
    for one, other, expected in (
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ):
        assert ciede2000(one, other) == pytest.approx(expected, abs=5e-5)


def differences(labs, distance):
    return [ciede2000(one, other) for one, other in zip(labs, labs[distance:], strict=False)]


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("without_red", [False, True])
def test_twelve_in_a_row_can_be_told_apart(vision, without_red):
    labs = [to_lab(palette_color(number, without_red=without_red), vision) for number in range(60)]
    assert min(differences(labs, 1)) > 16
    assert min(min(differences(labs, distance)) for distance in range(2, 12)) > 8


@pytest.mark.parametrize("vision", VISIONS)
def test_nothing_resembles_red_where_it_has_a_meaning(vision):
    red = to_lab(WRONG, vision)
    for number in range(60):
        assert ciede2000(to_lab(palette_color(number, without_red=True), vision), red) > (
            25 if vision == "normal" else 11
        )


def test_colors_are_bright_stable_and_no_two_of_24_the_same():
    colors = [palette_color(number) for number in range(24)]
    assert len(set(colors)) == 24
    assert [palette_color(number) for number in range(48)] == colors * 2
    assert all(max(color) >= 170 and to_lab(color, "normal")[0] > 35 for color in colors)
