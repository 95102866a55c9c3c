# SPDX-License-Identifier: Apache-2.0
"""The one reader of images: the same pixels as detectron2's, and one verdict in all programs."""

import os

import numpy as np
import pytest
import simplejpeg
from detectron2.data.detection_utils import read_image as detectron2_read
from PIL import Image
from ytvis.small import huge_png

from ifc.data.loaders import check_frames
from ifc.data.mapper import read_frame
from ifc.video import VideoReadError, open_frames
from ifc.ytvis.images import BadImageError, check_image, image_size, list_frames, read_image, read_rgb

SIZE = (24, 40)


def noise(size=SIZE):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))


def turned(orientation):
    """EXIF data that says how the picture is stored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize(
    ("ending", "mode", "options"),
    [
        ("jpg", "RGB", {}),
        ("jpg", "RGB", {"quality": 95, "subsampling": "4:4:4"}),
        ("jpg", "RGB", {"quality": 30, "progressive": True}),
        ("jpg", "L", {}),
        ("jpg", "CMYK", {}),
        ("png", "RGB", {}),
        ("png", "P", {}),
        ("png", "RGBA", {}),
        ("webp", "RGB", {"lossless": True}),
    ],
)
def test_images_are_read_as_detectron2_reads_them(tmp_path, order, ending, mode, options):
    image = noise((7, 11)).resize((45, 31), Image.BICUBIC).convert(mode)
    for orientation in range(1, 9):
        path = str(tmp_path / f"{orientation}.{ending}")
        image.save(path, exif=turned(orientation), **options)
        expected = detectron2_read(path, order)
        np.testing.assert_array_equal(read_rgb(path, expected.shape[:2], order=order), expected)
        assert image_size(path) == expected.shape[:2]


@pytest.mark.parametrize("ending", ["bmp", "ppm", "tiff"])
def test_formats_without_an_end_marker(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    noise().save(path)
    np.testing.assert_array_equal(read_rgb(path, SIZE), np.asarray(noise()))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(BadImageError) as caught:
        check_image(path)
    assert caught.value.kind == "damaged frame"


def test_reduced_jpegs_have_a_part_of_the_sides(tmp_path):
    path = tmp_path / "a.jpg"
    noise((25, 41)).save(path)
    for reduction, size in ((1, (25, 41)), (2, (13, 21)), (4, (7, 11)), (8, (4, 6))):
        assert read_rgb(path, (25, 41), reduction=reduction).shape == (*size, 3)


def test_jpeg_with_a_fault_that_pillow_mends(tmp_path):
    """Bytes that belong to nothing stand behind the first segment."""
    path = tmp_path / "frame.jpg"
    noise().save(path)
    content = path.read_bytes()
    path.write_bytes(content[:20] + bytes(3) + content[20:])
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(path.read_bytes())
    np.testing.assert_array_equal(read_rgb(path, SIZE), detectron2_read(str(path), "RGB"))


def test_values_of_an_image_of_another_pixel_format_are_refused(tmp_path):
    noise().convert("P").save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", ("P",), SIZE).shape == SIZE
    with pytest.raises(ValueError, match=r"a\.png: found an image of pixel format P, expected I;16 or I"):
        read_image(tmp_path / "a.png", ("I;16", "I"))


def test_names_in_the_order_in_which_people_count(tmp_path):
    for name in ("frame10.png", "frame2.PNG", "frame1.jpg", "readme.txt", "._frame1.jpg"):
        (tmp_path / name).touch()
    assert list_frames(tmp_path) == ["frame1.jpg", "frame2.PNG", "frame10.png"]
    (tmp_path / "frame2.webp").touch()
    with pytest.raises(ValueError, match="found frame2.PNG and frame2.webp, expected one image for a frame"):
        list_frames(tmp_path)
    for folder in (tmp_path / "nowhere", tmp_path / "readme.txt"):
        with pytest.raises(ValueError, match=f"{folder.name}: found no such folder"):
            list_frames(folder)


def jpeg(**options):
    def make(path):
        noise().save(path, format="JPEG", **options)

    return make


def png(image=None):
    def make(path):
        (image or noise()).save(path, format="PNG")

    return make


def spoiled(make, change):
    def spoil(path):
        make(path)
        path.write_bytes(change(path.read_bytes()))

    return spoil


def thumbnail_in_front(content):
    """As cameras write it: a small photo, with an end of its own, in the header of a photo that is cut off."""
    return content[:2] + b"\xff\xe1" + (2 + len(content)).to_bytes(2, "big") + content + content[2:-9]


def no_right_to_read(path):
    noise().save(path, format="JPEG")
    path.chmod(0)


FILES = {
    "good JPEG": (jpeg(), None),
    "good PNG": (png(), None),
    "PNG of one bit": (png(noise().convert("1")), None),
    "PNG of 16 bits": (png(noise().convert("I;16")), None),
    "PNG with an alpha channel": (png(noise().convert("RGBA")), None),
    "GIF": (lambda path: noise().save(path, format="GIF"), "damaged frame"),
    "stored turned, upright of this size": (
        lambda path: noise(SIZE[::-1]).save(path, format="JPEG", exif=turned(6)),
        None,
    ),
    "stored of this size, upright of another": (jpeg(exif=turned(8)), "frame size"),
    "mirrored": (jpeg(exif=turned(2)), None),
    "orientation that does not exist": (jpeg(exif=turned(9)), None),
    "other size": (lambda path: noise((24, 41)).save(path, format="JPEG"), "frame size"),
    "bytes behind the end": (spoiled(jpeg(), lambda content: content + bytes(300)), None),
    "a film behind the end, as of phones": (spoiled(jpeg(), lambda content: content + bytes(300_000)), None),
    "JPEG without its end marker": (spoiled(jpeg(), lambda content: content[:-2]), "damaged frame"),
    "JPEG cut in the middle": (spoiled(jpeg(), lambda content: content[: len(content) // 2]), "damaged frame"),
    "JPEG cut behind its header": (spoiled(jpeg(), lambda content: content[:30]), "damaged frame"),
    "cut photo with a whole thumbnail": (spoiled(jpeg(), thumbnail_in_front), "damaged frame"),
    "JPEG that can be mended": (spoiled(jpeg(), lambda content: content[:20] + bytes(3) + content[20:]), None),
    "JPEG of no pixels": (spoiled(jpeg(), lambda content: content[:200] + b"\xff\xd9"), "damaged frame"),
    "PNG without its end": (spoiled(png(), lambda content: content[:-12]), "damaged frame"),
    "PNG with a wrong checksum": (spoiled(png(), lambda c: c[:900] + bytes(100) + c[1000:]), "damaged frame"),
    "PNG whose pixels end early": (
        spoiled(png(), lambda c: c.split(b"IDAT")[0][:-1] + b"\x03IDAT" + c.split(b"IDAT", 1)[1]),
        "damaged frame",
    ),
    "PNG that claims to be huge": (lambda path: path.write_bytes(huge_png()), "frame size"),
    "empty": (lambda path: path.touch(), "damaged frame"),
    "text": (lambda path: path.write_text("not found"), "damaged frame"),
    "nothing": (lambda path: None, "missing frame"),
    "folder": (lambda path: path.mkdir(), "missing frame"),
    "pipe": (lambda path: os.mkfifo(path), "missing frame"),
    "link to nothing": (lambda path: path.symlink_to("nowhere"), "missing frame"),
    "not for this user": (no_right_to_read, "missing frame"),
}


@pytest.mark.parametrize("name", FILES)
def test_all_programs_give_one_verdict(tmp_path, name):
    """The checker, the training loader's check and reading, and reports; and videos of frames, whose size is free."""
    if name == "not for this user" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    make, kind = FILES[name]
    path = tmp_path / "1.jpg"
    make(path)
    record = {"file_names": [str(path)], "height": SIZE[0], "width": SIZE[1]}
    readers = {
        "check": lambda: check_image(path, SIZE, decode=True),
        "report": lambda: read_rgb(path, SIZE),
        "training": lambda: read_frame(str(path), "BGR", SIZE, 2),
    }
    if name != "PNG with a wrong checksum" and name != "PNG whose pixels end early":  # seen by decoding alone
        readers |= {"training's check": lambda: check_frames([record])}
    for read in readers.values():
        if kind is None:
            read()
            continue
        with pytest.raises(BadImageError) as caught:
            read()
        assert caught.value.kind == kind
        assert str(caught.value).startswith(f"{path}: found ")
    if kind == "damaged frame":
        with pytest.raises(VideoReadError, match=f"^{path}: found "):
            open_frames(path)
    elif kind is None:
        (frame,) = open_frames(path)
        np.testing.assert_array_equal(frame, read_rgb(path))
