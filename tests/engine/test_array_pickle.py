# SPDX-License-Identifier: Apache-2.0
"""Pickles of arrays, from every protocol and from Python 2, and pickles that want to run code."""

import collections
import datetime
import io
import os
import pickle

import numpy as np
import pytest

from ifc.engine.array_pickle import load_array_pickle

ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "float16": np.arange(4, dtype=np.float16),
    "big endian": np.arange(3, dtype=">f8"),
    "int64": np.arange(5),
    "bool": np.array([True, False]),
    "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "slice": np.arange(10.0)[::3],
    "empty": np.zeros((0, 4), dtype=np.float32),
    "no dimensions": np.array(3.0),
    "scalar": np.float32(2.5),
}

# What Python 2 and numpy 1 wrote for {"conv1_w": np.array([[1, -2]], dtype=np.float32)}, protocol 2.
PYTHON_2 = (
    b"\x80\x02}q\x01U\x07conv1_wq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05U"
    b"\x01bq\x06\x87q\x07Rq\x08(K\x01K\x01K\x02\x86q\tcnumpy\ndtype\nq\nU\x02f4q\x0bK\x00K\x01\x87q\x0cRq\r(K\x03U\x01<q"
    b"\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89U\x08\x00\x00\x80?\x00\x00\x00\xc0q\x10tq\x11bs."
)


def load(data: bytes):
    return load_array_pickle(io.BytesIO(data))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays(protocol):
    content = {"model": collections.OrderedDict(ARRAYS), "list": [1, ("a", None, ARRAYS["float32"])], "done": True}
    loaded = load(pickle.dumps(content, protocol))
    assert loaded["model"].keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded["model"][name], array)
        assert loaded["model"][name].dtype == array.dtype.newbyteorder("=")
        assert loaded["model"][name].shape == array.shape
    assert loaded["model"]["float32"].flags.writeable
    assert loaded["list"][:1] + list(loaded["list"][1][:2]) == [1, "a", None]
    np.testing.assert_array_equal(loaded["list"][1][2], ARRAYS["float32"])
    assert loaded["done"] is True


def test_python_2():
    (name, array), *others = load(PYTHON_2).items()
    assert (name, others) == ("conv1_w", [])
    np.testing.assert_array_equal(array, np.array([[1, -2]], dtype=np.float32))


class Calls:
    """An object whose unpickling calls a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (Calls(os.system, "exit 1"), "refers to posix.system"),
        (Calls(eval, "1"), "refers to builtins.eval"),
        (Calls(getattr, "text", "upper"), "refers to builtins.getattr"),
        (Calls(np.load, "x.npy"), "refers to numpy.load"),
        (datetime.date(2021, 6, 7), "refers to datetime.date"),
        (np.array([{}], dtype=object), "type 'O8'"),
        (np.array(["text"]), "type 'U4'"),
        (np.zeros(1, dtype=[("field", "f4")]), "type 'V4'"),
    ],
)
def test_refused(content, found):
    with pytest.raises(pickle.UnpicklingError, match=found):
        load(pickle.dumps({"model": {"weight": content}}))


class SharedBytes:
    """Pickled as an array whose bytes other arrays have, too."""

    def __init__(self, data: bytes):
        self.data = data

    def __reduce__(self):
        function, arguments, _ = np.zeros(0, np.uint8).__reduce__()
        return function, arguments, (1, (len(self.data),), np.dtype("u1"), False, self.data)


def nested(depth: int) -> list:
    """2 ** depth lists, of which only `depth` are different ones."""
    inner = [ARRAYS["float32"]]
    for _ in range(depth):
        inner = [inner, inner]
    return inner


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_no_more_memory_than_the_file_has_bytes(protocol):
    data = bytes(1000)
    with pytest.raises(pickle.UnpicklingError, match="its arrays take more memory than the file has bytes"):
        load(pickle.dumps([SharedBytes(data) for _ in range(1000)], protocol))
    with pytest.raises(pickle.UnpicklingError, match="it numbers an object 4000000000, in a file of 9 bytes"):
        load(b"\x80\x02]r" + (4_000_000_000).to_bytes(4, "little") + b".")
    loaded = load(pickle.dumps(nested(100), protocol))
    assert loaded[0] is loaded[1]
    with pytest.raises(pickle.UnpicklingError, match="it holds list where numpy writes text"):
        load(pickle.dumps(Calls(np.dtype, nested(100)), protocol))


def test_one_array_by_many_names():
    shared = np.arange(100.0)
    loaded = load(pickle.dumps({str(i): shared for i in range(10)}))
    assert len({id(array) for array in loaded.values()}) == 1
    np.testing.assert_array_equal(loaded["9"], shared)


def test_numpys_array_type_is_never_called():
    """A pickle that gives numpy a type of its own making and a buffer could make it read any memory."""
    with pytest.raises(TypeError, match="not callable"):
        load(pickle.dumps(Calls(np.ndarray, (1,), "f4", b"1234")))


def test_damaged_pickles_end_in_an_error_or_a_result():
    whole = pickle.dumps({"model": {name: ARRAYS[name] for name in ("float32", "Fortran")}}, 2)
    for end in range(len(whole)):
        with pytest.raises(Exception):  # noqa: B017 - of many kinds
            load(whole[:end])
