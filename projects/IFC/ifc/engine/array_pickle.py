# SPDX-License-Identifier: Apache-2.0
"""Reading the pickles of detectron2's model zoo: numpy arrays in containers, and nothing that could run code.

Python's unpickler calls whatever a file names. Here a file can name only what numpy arrays are made of, and even that
is put together by this module instead of numpy: numpy trusts the description of an array that a pickle gives it.
"""

import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

NUMERIC_KINDS = "biuf"  # numpy's letters for booleans, integers and floats


def load_array_pickle(file: BinaryIO) -> Any:
    """Read a pickle of numbers, strings and numpy arrays in dicts, lists and tuples.

    Pickles of Python 2 and 3 and of every version of numpy are read. Arrays are numeric, writable and contiguous.

    Raises:
        pickle.UnpicklingError: if it refers to anything else, or would take more memory than such pickles do.
        Exception: of many kinds, if the file is damaged.
    """
    start = file.tell()
    num_bytes = _checked_size(file)
    file.seek(start)
    return _ArrayReader(num_bytes).read(_ArrayUnpickler(file, encoding="latin1").load())


def _checked_size(file: BinaryIO) -> int:
    """Bytes of a pickle whose objects have numbers that the file has room for: pickle makes a table of all numbers."""
    highest = max((arg for opcode, arg, _ in pickletools.genops(file) if opcode.name in _NUMBERING), default=0)
    num_bytes = file.tell()
    if highest > num_bytes:
        raise pickle.UnpicklingError(f"it numbers an object {highest}, in a file of {num_bytes} bytes")
    return num_bytes


_NUMBERING = ("PUT", "BINPUT", "LONG_BINPUT")


class _Dtype:
    """An array's type as numpy pickles it: `_Dtype("f4", False, True)` and then its state, which has the byte order."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        self.dtype = np.dtype(_text(code))
        if self.dtype.kind not in NUMERIC_KINDS:
            raise pickle.UnpicklingError(f"it holds an array of type {code!r}; only numbers are allowed")

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(_text(state[1]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"it holds {type(value).__name__} where numpy writes text")
    return value


class _Array:
    """An array as numpy pickles it, made empty and then given its state. `_ArrayReader` makes it one of numpy's."""

    def __init__(self, *_: Any) -> None:
        self.dtype, self.data, self.shape, self.order = np.dtype(float), b"", (0,), "C"
        self.is_scalar = False

    def __setstate__(self, state: tuple) -> None:
        _, self.shape, dtype, is_fortran, self.data = state
        self.dtype, self.order = dtype.dtype, "F" if is_fortran else "C"


def _scalar(dtype: _Dtype, data: Any) -> _Array:
    scalar = _from_buffer(data, dtype, (), "C")
    scalar.is_scalar = True
    return scalar


def _from_buffer(data: Any, dtype: _Dtype, shape: Any, order: str, axis_order: Any = None) -> _Array:
    if axis_order is not None:
        raise pickle.UnpicklingError("it holds an array in an order of axes of its own; only C and Fortran are read")
    array = _Array()
    array.dtype, array.data, array.shape, array.order = dtype.dtype, data, shape, order
    return array


def _encode(text: str, encoding: str) -> str:
    """How Python 3 writes bytes in old protocols. They are left as text, as those of Python 2 are."""
    if _text(encoding) != "latin1":
        raise pickle.UnpicklingError(f"it holds text encoded as {encoding!r}; only 'latin1' is allowed")
    return text


def _no_bytes() -> bytes:
    """How Python 3 writes b"" in old protocols."""
    return b""


_ALLOWED: dict[tuple[str, str], Callable[..., Any] | str] = {
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): "ndarray",  # an argument of `_reconstruct`, never called
}
for _package in ("numpy.core", "numpy._core"):  # before and since numpy 2
    _ALLOWED[f"{_package}.multiarray", "_reconstruct"] = _Array
    _ALLOWED[f"{_package}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_package}.numeric", "_frombuffer"] = _from_buffer


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}; only numpy arrays in containers are allowed")
        return _ALLOWED[module, name]


class _ArrayReader:
    """Puts numpy's arrays in the place of this module's.

    A pickle can name one object many times. What comes back shares as much, and arrays hold together no more bytes
    than the pickle.

    Args:
        num_bytes: of the pickle.
    """

    def __init__(self, num_bytes: int) -> None:
        self._num_bytes_left = num_bytes
        self._read: dict[int, Any] = {}  # by the identity of what they were, all of which live as long as the pickle's

    def read(self, value: Any) -> Any:
        """The containers of `value`, as dicts, lists and tuples, with numpy's arrays."""
        if not isinstance(value, _Array | dict | list | tuple):
            return value
        if id(value) not in self._read:
            if isinstance(value, _Array):
                read = self._read_array(value)
            elif isinstance(value, dict):
                read = {key: self.read(item) for key, item in value.items()}
            else:
                read = type(value)(self.read(item) for item in value)
            self._read[id(value)] = read
        return self._read[id(value)]

    def _read_array(self, array: _Array) -> Any:
        """Bytes (from Python 2: as text) to an array in the machine's byte order."""
        self._num_bytes_left -= len(array.data)
        if self._num_bytes_left < 0:
            raise pickle.UnpicklingError("its arrays take more memory than the file has bytes")
        data = array.data.encode("latin1") if isinstance(array.data, str) else array.data
        read = np.frombuffer(data, array.dtype).reshape(array.shape, order=array.order)
        read = np.array(read, dtype=array.dtype.newbyteorder("="), order="C")
        return read[()] if array.is_scalar else read
