# SPDX-License-Identifier: Apache-2.0
"""Reading the pickles of detectron2's model zoo: numpy arrays in containers, and nothing that could run code.

Python's unpickler calls whatever a file names. Here a file can name only what numpy arrays are made of, and numpy,
which trusts the description of an array that a pickle gives it, gets none that was not checked.
"""

import math
import pickle
import pickletools
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np

NUMERIC_KINDS = "biuf"  # numpy's letters for booleans, integers and floats


def load_array_pickle(file: BinaryIO) -> Any:
    """Read a pickle of numbers, strings and numpy arrays in dicts, lists and tuples.

    Pickles of Python 2 and 3 and of every version of numpy are read. Arrays are numeric, writable and in the machine's
    byte order.

    Raises:
        pickle.UnpicklingError: if it refers to anything else, or would take more memory than such pickles do.
        Exception: of many kinds, if the file is damaged.
    """
    start = file.tell()
    puts = (arg for opcode, arg, _ in pickletools.genops(file) if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"))
    highest, num_bytes = max(puts, default=0), file.tell() - start
    if highest > num_bytes:  # pickle makes a table of all numbers
        raise pickle.UnpicklingError(f"it numbers an object {highest}, in a file of {num_bytes} bytes")
    file.seek(start)
    return _ArrayUnpickler(file, num_bytes).load()


class _Dtype:
    """An array's type as numpy pickles it: `_Dtype("f4", False, True)` and then its state, which has the byte order."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        self.dtype = np.dtype(_text(code))
        if self.dtype.kind not in NUMERIC_KINDS:
            raise pickle.UnpicklingError(f"it holds an array of type {code!r}; only numbers are allowed")

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(_text(state[1]))


class _Array(np.ndarray):
    """An array as numpy pickles it: made empty, and then given its state."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.charge(len(data))
        del self.charge  # one state an array
        if any(n < 0 for n in shape) or math.prod(shape) * dtype.dtype.itemsize != len(data):
            raise pickle.UnpicklingError(f"it holds an array of shape {shape} and {len(data)} bytes")
        super().__setstate__((1, shape, dtype.dtype, bool(is_fortran), data))


class _ArrayUnpickler(pickle.Unpickler):
    """Arrays may take together no more bytes than the pickle has, in which one object can be named many times."""

    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        super().__init__(file, encoding="latin1")  # what Python 2 wrote are bytes
        self._num_bytes_left = num_bytes
        self._allowed = {
            ("__builtin__", "bytes"): _no_bytes,
            ("collections", "OrderedDict"): OrderedDict,
            ("_codecs", "encode"): _encode,
            ("numpy", "dtype"): _Dtype,
            ("numpy", "ndarray"): "ndarray",  # an argument of `_reconstruct`, never called
        }
        for package in ("numpy.core", "numpy._core"):  # before and since numpy 2
            self._allowed[f"{package}.multiarray", "_reconstruct"] = self._reconstruct
            self._allowed[f"{package}.multiarray", "scalar"] = self._scalar
            self._allowed[f"{package}.numeric", "_frombuffer"] = self._from_buffer

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}; only numpy arrays in containers are allowed")
        return self._allowed[module, name]

    def _charge(self, num_bytes: int) -> None:
        self._num_bytes_left -= num_bytes
        if self._num_bytes_left < 0:
            raise pickle.UnpicklingError("its arrays take more memory than the file has bytes")

    def _reconstruct(self, *_: Any) -> _Array:
        array = np.zeros(0).view(_Array)
        array.charge = self._charge
        return array

    def _from_buffer(self, data: Any, dtype: _Dtype, shape: Any, order: str, axis_order: Any = None) -> np.ndarray:
        if axis_order is not None:
            raise pickle.UnpicklingError("it holds an array in an order of axes of its own, expected C or Fortran")
        self._charge(len(data))
        values = np.frombuffer(data, dtype.dtype).astype(dtype.dtype.newbyteorder("="))
        return values.reshape(shape, order=order)

    def _scalar(self, dtype: _Dtype, data: Any) -> np.generic:
        data = data.encode("latin1") if isinstance(data, str) else data
        return self._from_buffer(data, dtype, (), "C")[()]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"it holds {type(value).__name__} where numpy writes text")
    return value


def _encode(text: str, encoding: str) -> str:
    """How Python 3 writes bytes in old protocols. They are left as text, as those of Python 2 are."""
    if _text(encoding) != "latin1":
        raise pickle.UnpicklingError(f"it holds text encoded as {encoding!r}; only 'latin1' is allowed")
    return text


def _no_bytes() -> bytes:
    """How Python 3 writes b"" in old protocols."""
    return b""
