# SPDX-License-Identifier: Apache-2.0
"""Reading the pickles of detectron2's model zoo: numpy arrays in containers, and nothing that could run code.

Python's unpickler calls whatever a file names. Here a file can name only what numpy arrays are made of, and even that
is put together by this module instead of numpy: numpy trusts the description of an array that a pickle gives it.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

NUMERIC_KINDS = "biuf"  # numpy's letters for booleans, integers and floats


def load_array_pickle(file: BinaryIO) -> Any:
    """Read a pickle of numbers, strings and numpy arrays in dicts, lists and tuples.

    Pickles of Python 2 and 3 and of every version of numpy are read. Arrays are numeric, writable and contiguous.

    Raises:
        pickle.UnpicklingError: if it refers to anything else.
        Exception: of many kinds, if the file is damaged.
    """
    return _with_arrays(_ArrayUnpickler(file, encoding="latin1").load())


class _Dtype:
    """An array's type as numpy pickles it: `_Dtype("f4", False, True)` and then its state, which has the byte order."""

    def __init__(self, code: str, align: Any = False, copy: Any = False) -> None:
        self.dtype = np.dtype(str(code))
        if self.dtype.kind not in NUMERIC_KINDS:
            raise pickle.UnpicklingError(f"it holds an array of type {code!r}; only numbers are allowed")

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(str(state[1]))

    def read(self, data: Any, shape: Any, order: str) -> np.ndarray:
        """Bytes (from Python 2: as text) to an array in the machine's byte order."""
        if isinstance(data, str):
            data = data.encode("latin1")
        array = np.frombuffer(data, self.dtype).reshape(shape, order=order)
        return np.array(array, dtype=self.dtype.newbyteorder("="), order="C")


class _Array:
    """An array as numpy pickles it, made empty and then given its state."""

    def __init__(self, *_: Any) -> None:
        self.array = np.zeros(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.array = dtype.read(data, shape, "F" if is_fortran else "C")


def _scalar(dtype: _Dtype, data: Any) -> Any:
    return dtype.read(data, (), "C")[()]


def _from_buffer(data: Any, dtype: _Dtype, shape: Any, order: str, axis_order: Any = None) -> np.ndarray:
    if axis_order is not None:
        raise pickle.UnpicklingError("it holds an array in an order of axes of its own; only C and Fortran are read")
    return dtype.read(data, shape, order)


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in old protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds text encoded as {encoding!r}; only 'latin1' is allowed")
    return text.encode("latin1")


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


def _with_arrays(value: Any) -> Any:
    """The containers of `value`, with numpy's arrays in place of this module's."""
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, dict):
        return {key: _with_arrays(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_arrays(item) for item in value)
    return value
