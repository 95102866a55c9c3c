# SPDX-License-Identifier: Apache-2.0
"""Frames on disk: whether they are there, whole, and of the right size."""

import os
import re
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from .values import MAX_FRAME_PIXELS

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
TAIL = 1 << 16  # bytes at a file's end in which its end marker is looked for: some cameras write more after it
ORIENTATION = 0x0112  # EXIF's tag, whose value says what turns the stored picture upright
TO_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
KEEPS_SIDES = (None, Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM)
MAX_DEFLATE_RATIO = 1032  # bytes that a byte of a PNG can decompress to (RFC 1951: 258 bytes from two bits)


class BadImageError(ValueError):
    """An image file cannot be used. `kind` is "missing frame", "damaged frame" or "frame size"."""

    def __init__(self, kind: str, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.kind, self.found, self.expected = kind, found, expected


def check_image(path: str | os.PathLike, size: tuple[int, int] | None, decode: bool = False) -> None:
    """Check an image file by its header and its last bytes, a tenth of a millisecond a file.

    A JPEG or PNG that is cut off lacks its end marker. Other formats have none and are decoded.

    Args:
        path: the file.
        size: (height, width) that it should have when it is upright, as training reads it and annotators see it: a
            camera may store it turned, and note that in the EXIF data. None for any.
        decode: decode it whole in any case, which also finds damage in the middle.

    Raises:
        BadImageError: it is missing, damaged or of another size.
    """
    _load(path, size, decode=decode)


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """Height and width of an image file when it is upright; it is checked as by `check_image`.

    Raises:
        ValueError: it is missing or damaged. The message names the file.
    """
    try:
        image = _load(path, None, decode=False)
    except BadImageError as error:
        raise ValueError(f"{path}: {error}") from None
    return _upright_size(image)


def read_image(
    path: str | os.PathLike, modes: tuple[str, ...], size: tuple[int, int] | None = None, *, convert: str | None = None
) -> np.ndarray:
    """The pixels of an image file, (H, W) or (H, W, channels), upright: indices for mode P.

    Args:
        path: the file.
        modes: Pillow's names of the pixel formats that are expected; "P" and "L" are 8 bits a pixel, "I;16" is 16.
        size: (height, width) that it should have; None for any.
        convert: the pixel format to return, if another one.

    Raises:
        ValueError: it is missing, damaged, of another size or pixel format. The message names the file.
    """
    try:
        image = _load(path, size, decode=True)
    except BadImageError as error:
        raise ValueError(f"{path}: {error}") from None
    if image.mode not in modes:
        raise ValueError(f"{path}: found an image of pixel format {image.mode}, expected {' or '.join(modes)}")
    turn = _turn(image)
    if turn is not None:
        image = image.transpose(turn)
    return np.array(image.convert(convert) if convert else image)


def list_frames(folder: str | os.PathLike) -> list[str]:
    """Names of the images of a folder, in the order in which people count: 2 before 10.

    Raises:
        ValueError: there is no such folder, no image in it, or two of one name but for the ending.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: found no such folder, expected one of frames")
    names = [entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(SUFFIXES)]
    names.sort(key=natural_order)
    if not names:
        raise ValueError(f"{folder}: found no image, expected frames ({', '.join(SUFFIXES)})")
    stems = [Path(name).stem for name in names]
    for stem, name, following in zip(stems, names, names[1:], strict=False):
        if stem == Path(following).stem:
            raise ValueError(f"{folder}: found {name} and {following}, expected one image for a frame")
    return names


def natural_order(name: str) -> tuple:
    """A key to sort names by that takes digits for numbers."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(part), part) if index % 2 else (0, part) for index, part in enumerate(parts))


def _load(path: str | os.PathLike, size: tuple[int, int] | None, *, decode: bool) -> Image.Image:
    """The checked image; its pixels are loaded if `decode` is set."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadImageError("missing frame", reason.lower(), "an image file") from None
    if not stat.S_ISREG(status.st_mode):
        raise BadImageError("missing frame", "something that is no file", "an image file")
    if status.st_size == 0:
        raise BadImageError("damaged frame", "an empty file", "an image")
    try:
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")  # Pillow's about large images, which are checked here
            with Image.open(file, formats=FORMATS) as image:
                _check_size(image, size, status.st_size)
                if image.format in END_MARKERS and not _has_end(file, image.format, status.st_size):
                    raise BadImageError("damaged frame", f"a {image.format} without its end", "a whole file")
                if decode or image.format not in END_MARKERS:
                    image.load()
                return image
    except BadImageError:
        raise
    except PermissionError:
        raise BadImageError("missing frame", "a file that may not be read", "an image file") from None
    # Pillow's decoders meet hostile files with any kind of error.
    except Exception as error:
        found = str(error).replace(str(path), "").strip() or type(error).__name__
        if "cannot identify" in found:
            found = "no image"
        raise BadImageError("damaged frame", found, f"an image ({', '.join(FORMATS)})") from None


def _check_size(image: Image.Image, expected: tuple[int, int] | None, num_bytes: int) -> None:
    """Check the size that a header claims, before memory is taken for it."""
    height, width = found = _upright_size(image)
    if expected is not None and found != expected:
        raise BadImageError("frame size", f"{height} x {width}", f"{expected[0]} x {expected[1]} (height x width)")
    if height * width > MAX_FRAME_PIXELS:
        raise BadImageError("frame size", f"{height} x {width}", f"at most {MAX_FRAME_PIXELS} pixels")
    if image.format == "PNG" and height * width > 8 * MAX_DEFLATE_RATIO * num_bytes:
        raise BadImageError("damaged frame", f"{num_bytes} bytes for {height} x {width} pixels", "a whole file")


def _has_end(file, image_format: str, num_bytes: int) -> bool:
    """Whether the end marker lies behind the header, which Pillow has just read; the file's position is kept."""
    position = file.tell()
    start = position if image_format == "JPEG" else 0  # before, the thumbnail's may lie
    file.seek(max(start, num_bytes - TAIL))
    found = END_MARKERS[image_format] in file.read()
    file.seek(position)
    return found


def _turn(image: Image.Image) -> Transpose | None:
    """What makes an opened image upright; None if it is."""
    # The base class's method, as a PNG's own decodes the whole file in search of EXIF data behind the pixels.
    return TO_UPRIGHT.get(Image.Image.getexif(image).get(ORIENTATION))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of an opened image when it is upright."""
    return (image.height, image.width) if _turn(image) in KEEPS_SIDES else (image.width, image.height)
