# SPDX-License-Identifier: Apache-2.0
"""Image files: whether they are there, whole and of the right size, their pixels when they are upright, their order."""

import contextlib
import os
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import simplejpeg
from PIL import Image
from PIL.Image import Transpose

from .values import MAX_FRAME_PIXELS

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM")
END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
TAIL = 1 << 16  # bytes at a file's end in which its end marker is looked for first: some cameras write more after it
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

# Of large images and odd metadata, which are checked here or do not matter. For good, as threads read images.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadImageError(ValueError):
    """An image file cannot be used. The message names it.

    Attributes:
        kind: "missing frame", "damaged frame" or "frame size".
        found, expected: what is wrong, in words.
    """

    def __init__(self, path: str | os.PathLike, kind: str, found: str, expected: str) -> None:
        super().__init__(f"{path}: found {found}, expected {expected}")
        self.kind, self.found, self.expected = kind, found, expected


def check_image(path: str | os.PathLike, size: tuple[int, int] | None = None, decode: bool = False) -> None:
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
    with _opened(path, size) as image:
        if decode or image.format not in END_MARKERS:
            image.load()


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """Height and width of an image file when it is upright.

    Raises:
        BadImageError: it is missing or damaged, as far as the header and the last bytes tell.
    """
    with _opened(path, None) as image:
        return _upright_size(image)


def read_rgb(
    path: str | os.PathLike, size: tuple[int, int] | None = None, *, order: str = "RGB", reduction: int = 1
) -> np.ndarray:
    """The pixels of an image file of any kind, upright.

    Args:
        path: the file.
        size: (height, width) that it should have; None for any.
        order: of the channels, "RGB" or "BGR".
        reduction: 1, 2, 4 or 8, by which the sides of most JPEGs, not of other files, are divided and rounded up.

    Returns:
        (H, W, 3) uint8.

    Raises:
        BadImageError: it is missing, damaged or of another size.
    """
    with _opened(path, size) as image:
        # The same decoder as Pillow's, without its copies: half of the time.
        if image.format == "JPEG" and image.mode in ("L", "RGB") and _turn(image) is None:
            height, width = (-(-side // reduction) for side in (image.height, image.width))
            content = Path(path).read_bytes()
            # Whether a fault can be mended, Pillow knows.
            with contextlib.suppress(ValueError):
                return simplejpeg.decode_jpeg(content, order, min_height=height, min_width=width, min_factor=reduction)
        pixels = np.array(_to_upright(image).convert("RGB"))
    return pixels if order == "RGB" else pixels[:, :, ::-1]


def read_image(path: str | os.PathLike, modes: tuple[str, ...], size: tuple[int, int] | None = None) -> np.ndarray:
    """The values of an image file, (H, W) or (H, W, channels), upright: indices for mode P.

    Args:
        path: the file.
        modes: Pillow's names of the pixel formats that are expected; "P" and "L" are 8 bits a pixel, "I;16" is 16.
        size: (height, width) that it should have; None for any.

    Raises:
        ValueError: it is missing, damaged, of another size or pixel format. The message names the file.
    """
    with _opened(path, size) as image:
        values = np.array(_to_upright(image))
    if image.mode not in modes:
        raise ValueError(f"{path}: found an image of pixel format {image.mode}, expected {' or '.join(modes)}")
    return values


def list_frames(folder: str | os.PathLike) -> list[str]:
    """Names of the images of a folder, hidden ones left out, in the order in which people count: 2 before 10.

    Raises:
        ValueError: there is no such folder, no image in it, or two of one name but for the ending.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: found no such folder, expected one of frames")
    entries = (entry.name for entry in os.scandir(folder))
    names = [name for name in entries if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    names.sort(key=natural_order)
    if not names:
        raise ValueError(f"{folder}: found no image, expected frames ({', '.join(SUFFIXES)})")
    stems = [Path(name).stem for name in names]
    for stem, name, following in zip(stems, names, names[1:], strict=False):
        if stem == Path(following).stem:
            raise ValueError(f"{folder}: found {name} and {following}, expected one image for a frame")
    return names


def video_frames(root: str | os.PathLike, folder: str) -> tuple[list[str], tuple[int, int]]:
    """Paths of a video's frames, relative to `root`, and their size (height, width); as `list_frames`."""
    names = [f"{folder}/{name}" for name in list_frames(Path(root) / folder)]
    return names, image_size(Path(root) / names[0])


def natural_order(name: str) -> tuple:
    """A key to sort names by that takes digits for numbers."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(part), part) if index % 2 else (0, part) for index, part in enumerate(parts))


@contextlib.contextmanager
def _opened(path: str | os.PathLike, size: tuple[int, int] | None) -> Iterator[Image.Image]:
    """An image whose header and end are good, to be loaded; any error of the block is taken for a fault of the file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadImageError(path, "missing frame", reason.lower(), "an image file") from None
    if not stat.S_ISREG(status.st_mode):
        raise BadImageError(path, "missing frame", "something that is no file", "an image file")
    if status.st_size == 0:
        raise BadImageError(path, "damaged frame", "an empty file", "an image")
    try:
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            _check_size(path, image, size, status.st_size)
            if image.format in END_MARKERS and not _has_end(file, image.format, status.st_size):
                raise BadImageError(path, "damaged frame", f"a {image.format} without its end", "a whole file")
            yield image
    except BadImageError:
        raise
    except PermissionError:
        raise BadImageError(path, "missing frame", "a file that may not be read", "an image file") from None
    # Pillow's decoders meet hostile files with any kind of error.
    except Exception as error:
        found = str(error).replace(str(path), "").strip() or type(error).__name__
        if "cannot identify" in found:
            found = "no image"
        raise BadImageError(path, "damaged frame", found, f"an image ({', '.join(FORMATS)})") from None


def _check_size(path: str | os.PathLike, image: Image.Image, expected: tuple[int, int] | None, num_bytes: int) -> None:
    """Check the size that a header claims, before memory is taken for it."""
    height, width = found = _upright_size(image)
    if expected is not None and found != expected:
        expected_size = f"{expected[0]} x {expected[1]} (height x width)"
        raise BadImageError(path, "frame size", f"{height} x {width}", expected_size)
    if height * width > MAX_FRAME_PIXELS:
        raise BadImageError(path, "frame size", f"{height} x {width}", f"at most {MAX_FRAME_PIXELS} pixels")
    if image.format == "PNG" and height * width > 8 * MAX_DEFLATE_RATIO * num_bytes:
        found = f"{num_bytes} bytes for {height} x {width} pixels"
        raise BadImageError(path, "damaged frame", found, "a whole file")


def _has_end(file: BinaryIO, image_format: str, num_bytes: int) -> bool:
    """Whether the end marker lies behind the header, which Pillow has just read; the file's position is kept."""
    position = file.tell()
    start = position if image_format == "JPEG" else 0  # before, the thumbnail's may lie
    for first in (max(start, num_bytes - TAIL), start):
        file.seek(first)
        found = file.read().rfind(END_MARKERS[image_format]) >= 0  # from the end, where it is if the file is whole
        if found:
            break
    file.seek(position)
    return found


def _turn(image: Image.Image) -> Transpose | None:
    """What makes an opened image upright; None if it is."""
    if image.format == "TIFF":  # which Pillow turns itself
        return None
    # The base class's method, as a PNG's own decodes the whole file in search of EXIF data behind the pixels.
    return TO_UPRIGHT.get(Image.Image.getexif(image).get(ORIENTATION))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of an opened image when it is upright."""
    return (image.height, image.width) if _turn(image) in KEEPS_SIDES else (image.width, image.height)


def _to_upright(image: Image.Image) -> Image.Image:
    turn = _turn(image)
    return image if turn is None else image.transpose(turn)
