"""Pickles of plain data, read without ever running anything that the file says.

Some data sets are published as Python pickles, which may call any function when ``pickle.load`` opens them. This module
has an interpreter of its own for the pickle language (protocols 0 to 5, Python 2's included; the opcodes are described
in CPython's ``Lib/pickletools.py``). It knows numpy arrays and scalars, dict, OrderedDict, list, tuple, set, frozenset,
str, bytes, int, float, bool and None; every other name in a file is refused, and nothing is imported. Lengths and
shapes that a file declares are held against the bytes that it has before anything is allocated.
"""

from __future__ import annotations

import codecs
import io
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.files import check_claim, check_file, read_bytes

__all__ = ["load_pickle", "loads_pickle", "open_pickled_npz"]

Array = npt.NDArray[Any]

MAX_DEPTH = 64
"""Deepest nesting of containers; no published file comes near, and nobody who walks the data overflows a stack."""

_ATOMS = frozenset({str, bytes, int, float, bool, type(None)})
_KEYS = frozenset({str, bytes, int, bool, type(None)})
_DAMAGE = (IndexError, KeyError, ValueError, TypeError, OverflowError, struct.error)


def load_pickle(path: str | Path, *, encoding: str = "latin1") -> Any:
    """Read a pickle of arrays, containers, strings and numbers; run nothing.

    Args:
        path: the file.
        encoding: of the strings that Python 2 wrote; "bytes" leaves them bytes.

    Raises:
        InputError: no such file, not a pickle, damaged, or it asks for anything but plain data (the message says what).
    """
    return loads_pickle(read_bytes(path), str(path), encoding=encoding)


def loads_pickle(data: bytes, where: str, *, encoding: str = "latin1") -> Any:
    """`load_pickle` for bytes; `where` is what error messages call them."""
    machine = _Machine(data, encoding)
    try:
        value = machine.run()
        _Measure(limit=32 * len(data) + (64 << 20)).of(value)
    except InputError as error:
        raise InputError(f"{where}: {error} (at byte {machine.at})") from None
    except _DAMAGE as error:
        raise InputError(f"{where}: not a pickle, or a damaged one (at byte {machine.at}: {error})") from None
    return value


def open_pickled_npz(path: str | Path) -> dict[str, Any]:
    """Read an ``.npz`` file whose members may be pickled objects: plain arrays as they are, objects by `loads_pickle`.

    A member that is one object (saved from a dict, say) is given as that object, not as an array of no dimensions.

    Raises:
        InputError: no such file, not an ``.npz`` archive, damaged, members far larger than the file could hold, or a
            pickle that asks for anything but plain data.
    """
    path = check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            check_claim(archive, path)
            out = {}
            for info in (info for info in archive.infolist() if info.filename.endswith(".npy")):
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
                    raise InputError(f"{path}: member {info.filename!r}: expected one as numpy.savez writes it")
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as member:  # read() without a number would trust the member, not its header
                    out[name] = _npy(member.read(info.file_size), f"{path}: array {name!r}")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a numpy .npz archive, or a damaged one ({error})") from None
    return out


def _npy(data: bytes, where: str) -> Any:
    """The content of one ``.npy`` file."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(file)
    except (*_DAMAGE, SyntaxError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise InputError(f"{where}: damaged header ({error})") from None
    body = data[file.tell() :]
    if dtype == np.dtype(object):
        value = loads_pickle(body, where)
        if not isinstance(value, np.ndarray) or value.shape != shape:
            raise InputError(f"{where}: the pickled object is not the array of shape {shape} that its header declares")
        return value[()] if shape == () else value
    try:
        return _array(body, dtype, shape, "F" if fortran_order else "C")
    except (InputError, *_DAMAGE) as error:
        raise InputError(f"{where}: {error}") from None


def _array(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> Array:
    """An array of its own memory, after what is declared was held against its bytes."""
    _check_array(data, dtype, shape)
    return np.ndarray(shape, dtype, buffer=bytearray(data), order=order)


def _check_array(data: bytes, dtype: np.dtype[Any], shape: Any) -> None:
    if dtype.kind not in "biufcSU":
        raise InputError(f"array of {dtype}: expected numbers or text")
    if _count(shape) * dtype.itemsize != len(data) or (_count(shape) > 1 and not dtype.itemsize):
        raise InputError(f"array: shape {shape} of {dtype} does not fit its {len(data)} bytes")
    if dtype.kind == "U" and data:
        # numpy itself stumbles over what is no character only when somebody looks at the element.
        code = np.frombuffer(data, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if ((code > 0x10FFFF) | ((code >= 0xD800) & (code < 0xE000))).any():
            raise InputError("array of text: not Unicode")


def _count(shape: Any) -> int:
    """Number of elements that a declared shape has."""
    if not isinstance(shape, tuple) or len(shape) > 32:
        raise InputError("array: damaged shape")
    if not all(type(length) is int and 0 <= length < 2**62 for length in shape):
        raise InputError("array: damaged shape")
    return math.prod(shape)


class _Measure:
    """Refuse what a small file can make endless: containers inside themselves, deep nesting, the same part repeated.

    The limit is on the size of the data as a tree, in bytes: 16 for each value, and those of arrays. A file that
    repeats no part cannot reach it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.known: dict[int, tuple[int, int]] = {}  # id -> size and height; (0, 0) while its parts are measured

    def of(self, value: Any, depth: int = 1) -> tuple[int, int]:
        """Size and height of a value that is not an atom."""
        kind = type(value)
        if kind in _ATOMS or isinstance(value, np.generic):
            return 16, 0
        if kind is np.ndarray and value.dtype != object:
            return 16 + value.nbytes, 0
        if (known := self.known.get(id(value))) is not None:
            if known == (0, 0):
                raise InputError("a container that contains itself")
            return known
        if kind is np.ndarray:
            parts: Any = value.ravel()
        elif kind is dict or kind is OrderedDict:
            parts = value.values()
        elif kind in (list, tuple, set, frozenset):
            parts = value
        else:
            raise InputError(f"expected plain data, got {value!r}")
        self.known[id(value)] = (0, 0)
        size, height = 16 + 16 * len(parts), 0
        for part in parts:
            if type(part) not in _ATOMS:
                if depth >= MAX_DEPTH:
                    raise InputError(f"containers nested more than {MAX_DEPTH} deep")
                part_size, part_height = self.of(part, depth + 1)
                size, height = size + part_size, max(height, part_height)
        if size > self.limit:
            raise InputError("the same parts repeated so often that the data would be far larger than the file")
        if height >= MAX_DEPTH:
            raise InputError(f"containers nested more than {MAX_DEPTH} deep")
        self.known[id(value)] = size, height + 1
        return size, height + 1


class _Name:
    """A function or class that a pickle names: a word to us, never the thing."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __repr__(self) -> str:
        return f"the function or class {self.module}.{self.name}"


class _DType:
    """A numpy dtype in the making: numbers, text or objects."""

    def __init__(self, code: str) -> None:
        if not re.fullmatch(r"\?|[biufcSUO][0-9]{1,9}", code):
            raise InputError(f"numpy dtype {code[:40]!r}: expected numbers, text or objects")
        self.value = np.dtype(object if code[0] == "O" else code)

    def __repr__(self) -> str:
        return f"numpy dtype {self.value}"

    def build(self, state: Any) -> None:
        """Take the byte order from numpy's (version, byte order, subarray, names, fields, …)."""
        if not isinstance(state, tuple) or len(state) < 5 or state[2:5] != (None, None, None):
            raise InputError("numpy dtype: expected one of numbers, text or objects, without fields")
        order = _text(state[1])
        if order not in ("<", ">", "|", "="):
            raise InputError("numpy dtype: damaged byte order")
        self.value = self.value.newbyteorder(order)  # type: ignore[arg-type]


def _text(value: Any) -> str:
    """What Python 2 wrote as a string, whichever way it was decoded."""
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise InputError("damaged: expected a string")
    return value


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("latin1")
    if not isinstance(value, bytes | bytearray):
        raise InputError("damaged: expected bytes")
    return bytes(value)


def _dtype(value: Any) -> np.dtype[Any]:
    if not isinstance(value, _DType):
        raise InputError("damaged: expected a numpy dtype")
    return value.value


def _build_array(array: Array, given: Any) -> None:
    """Fill an array in its place, which the pickle may refer to already.

    The state is (version, shape, dtype, Fortran order, data), without version in the oldest.
    """
    if not isinstance(given, tuple) or len(given) not in (4, 5) or array.shape != (0,):
        raise InputError("array: damaged state")
    shape, dtype, fortran, data = given[-4:]
    kind = _dtype(dtype)
    if not kind.hasobject:
        data = _bytes(data)
        _check_array(data, kind, shape)
    elif not isinstance(data, list) or _count(shape) != len(data):
        raise InputError("array of objects: its shape does not fit its data")
    state: Any = (1, shape, kind, bool(fortran), data)
    array.__setstate__(state)


def _reconstruct(kind: Any, shape: Any, _code: Any) -> Array:
    if not (isinstance(kind, _Name) and (kind.module, kind.name) == ("numpy", "ndarray")) or shape != (0,):
        raise InputError("expected a plain numpy array")
    return np.empty(0, np.int8)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    if order not in ("C", "F"):
        raise InputError("array: damaged order")
    return _array(_bytes(data), _dtype(dtype), shape, order)


def _scalar(dtype: Any, data: Any) -> Any:
    return _array(_bytes(data), _dtype(dtype), (), "C")[()]


def _new_dtype(code: Any, _align: Any = False, _copy: Any = False) -> _DType:
    return _DType(_text(code))


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise InputError("bytes: expected text in latin1")
    return text.encode("latin1")


def _ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    out: OrderedDict[Any, Any] = OrderedDict()
    for key, value in pairs:
        out[_key(key)] = value
    return out


def _items(kind: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda items=(): kind([_key(item) for item in items])


def _key(value: Any) -> Any:
    """A key of a dict or member of a set: nothing whose hash walks a structure, or can be made to collide at will."""
    if type(value) not in _KEYS:
        raise InputError(f"expected a string or whole number as a key, got a {type(value).__name__}")
    return value


_CALLS: Mapping[tuple[str, str], Callable[..., Any]] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
    **{(builtins, "set"): _items(set) for builtins in ("builtins", "__builtin__")},
    **{(builtins, "frozenset"): _items(frozenset) for builtins in ("builtins", "__builtin__")},
    **{(builtins, "bytes"): lambda: b"" for builtins in ("builtins", "__builtin__")},
    ("numpy", "dtype"): _new_dtype,
    ("collections", "OrderedDict"): _ordered,
    ("_codecs", "encode"): _encode,
}
"""What a pickle may call, by the names under which numpy 1, numpy 2, Python 2 and Python 3 write it."""


class _Machine:
    """Pickle's stack machine over bytes in memory."""

    def __init__(self, data: bytes, encoding: str) -> None:
        self.data, self.size = data, len(data)
        self.at = 0
        self.encoding = encoding
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The object that the pickle describes."""
        data, steps = self.data, _STEPS
        while True:
            code = data[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                break
            step = steps.get(code)
            if step is None:
                raise InputError(f"pickle opcode {bytes([code])!r}: expected plain data only")
            step(self)
        return self.stack.pop()

    def take(self, count: int) -> bytes:
        """The next bytes."""
        start, end = self.at, self.at + count
        if count < 0 or end > self.size:
            raise InputError(f"{count} bytes are declared, but the pickle ends before")
        self.at = end
        return self.data[start:end]

    def byte(self) -> int:
        """The next byte."""
        self.at += 1
        return self.data[self.at - 1]

    def line(self) -> bytes:
        """The bytes up to the end of the line."""
        end = self.data.index(b"\n", self.at)
        start, self.at = self.at, end + 1
        return self.data[start:end]

    def number(self, size: int, signed: bool = False) -> int:
        """A little-endian whole number."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def whole(self, size: int) -> int:
        """A whole number of any size, as Python's; more than 64 bits are no data of ours."""
        if size > 9:
            raise InputError(f"a whole number of {size} bytes")
        return self.number(size, signed=True)

    def text_number(self) -> int | bool:
        """Protocol 0's number in decimal digits."""
        line = self.line().rstrip(b"L")
        if len(line) > 20:
            raise InputError(f"a whole number of {len(line)} digits")
        return line == b"01" if line in (b"00", b"01") else int(line)

    def decoded(self, text: bytes) -> str | bytes:
        """A string that Python 2 wrote."""
        return text if self.encoding == "bytes" else text.decode(self.encoding)

    def quoted(self) -> str | bytes:
        """Protocol 0's string in quotes, as Python 2's repr."""
        line = self.line()
        if len(line) < 2 or line[0] != line[-1] or line[0] not in b"'\"":
            raise InputError("damaged string")
        return self.decoded(codecs.escape_decode(line[1:-1])[0])

    def escaped(self) -> str:
        """Protocol 0's Unicode."""
        text = self.line().decode("raw-unicode-escape")
        text.encode("utf-8")  # refuses halves of surrogate pairs, which no file could be written with
        return text

    def since_mark(self) -> list[Any]:
        """What was pushed since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def top(self, *kinds: type) -> Any:
        """The container on top of the stack."""
        if type(self.stack[-1]) not in kinds:
            raise InputError(f"damaged: expected a {kinds[0].__name__}, got a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def pop_tuple(self, count: int) -> tuple[Any, ...]:
        """The last objects of the stack as a tuple."""
        if len(self.stack) < count:
            raise InputError("damaged: too few objects for a tuple")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def append(self) -> None:
        value = self.stack.pop()
        self.top(list).append(value)

    def appends(self) -> None:
        items = self.since_mark()
        self.top(list).extend(items)

    def set_item(self) -> None:
        key, value = self.pop_tuple(2)
        self.top(dict, OrderedDict)[_key(key)] = value

    def set_items(self) -> None:
        self.fill(self.since_mark(), self.top(dict, OrderedDict))

    @staticmethod
    def fill(items: list[Any], into: dict[Any, Any]) -> dict[Any, Any]:
        """Keys and values in turn into a dict."""
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in _KEYS:
                _key(key)
            into[key] = value
        return into

    def add_items(self) -> None:
        items = self.since_mark()
        self.top(set).update([_key(item) for item in items])

    def remember(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def name(self, module: Any, name: Any) -> _Name:
        """A name that pickles of plain data use."""
        module, name = _text(module), _text(name)
        if (module, name) not in _CALLS and (module, name) != ("numpy", "ndarray"):
            asked = f"{module[:60]}.{name[:60]}"
            raise InputError(f"asks for {asked!r}: expected plain data only, and nothing of it was run")
        return _Name(module, name)

    def call(self) -> None:
        """REDUCE: one of the few calls that make plain data."""
        function, arguments = self.pop_tuple(2)
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise InputError("damaged: a call of what is no function")
        maker = _CALLS.get((function.module, function.name))
        if maker is None:
            raise InputError(f"calls {function!r}: expected plain data only")
        self.stack.append(maker(*arguments))

    def build(self) -> None:
        """BUILD: the state of an array or dtype."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, _DType):
            target.build(state)
        elif type(target) is np.ndarray:
            _build_array(target, state)
        else:
            raise InputError(f"sets the state of a {type(target).__name__}: expected plain data only")


def _push(make: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        value = make(machine)  # before the stack is looked up: since_mark exchanges it
        machine.stack.append(value)

    return step


def _utf8(size: int) -> Callable[[_Machine], None]:
    return _push(lambda m: m.take(m.number(size)).decode("utf-8"))


def _raw(size: int) -> Callable[[_Machine], None]:
    return _push(lambda m: m.take(m.number(size)))


_STEPS: Mapping[int, Callable[[_Machine], Any]] = {
    code[0]: step
    for code, step in (
        (b"\x80", lambda m: m.take(1)),  # PROTO
        (b"\x95", lambda m: m.take(8)),  # FRAME: a hint for reading ahead; the bytes are all here
        (b"(", _Machine.mark),
        (b"0", _Machine.pop),
        (b"1", _Machine.since_mark),  # POP_MARK
        (b"2", _push(lambda m: m.stack[-1])),  # DUP
        (b"N", _push(lambda _: None)),
        (b"\x88", _push(lambda _: True)),
        (b"\x89", _push(lambda _: False)),
        (b"I", _push(_Machine.text_number)),
        (b"L", _push(_Machine.text_number)),
        (b"J", _push(lambda m: m.number(4, signed=True))),
        (b"K", _push(lambda m: m.byte())),
        (b"M", _push(lambda m: m.number(2))),
        (b"\x8a", _push(lambda m: m.whole(m.byte()))),
        (b"\x8b", _push(lambda m: m.whole(m.number(4)))),
        (b"F", _push(lambda m: float(m.line()))),
        (b"G", _push(lambda m: struct.unpack(">d", m.take(8))[0])),
        (b"S", _push(_Machine.quoted)),
        (b"T", _push(lambda m: m.decoded(m.take(m.number(4, signed=True))))),
        (b"U", _push(lambda m: m.decoded(m.take(m.byte())))),
        (b"C", _raw(1)),
        (b"B", _raw(4)),
        (b"\x8e", _raw(8)),
        (b"\x96", _raw(8)),  # BYTEARRAY8: numpy's array memory in protocol 5
        (b"V", _push(_Machine.escaped)),
        (b"\x8c", _utf8(1)),
        (b"X", _utf8(4)),
        (b"\x8d", _utf8(8)),
        (b")", _push(lambda _: ())),
        (b"t", _push(lambda m: tuple(m.since_mark()))),
        (b"\x85", _push(lambda m: m.pop_tuple(1))),
        (b"\x86", _push(lambda m: m.pop_tuple(2))),
        (b"\x87", _push(lambda m: m.pop_tuple(3))),
        (b"]", _push(lambda _: [])),
        (b"l", _push(_Machine.since_mark)),
        (b"a", _Machine.append),
        (b"e", _Machine.appends),
        (b"}", _push(lambda _: {})),
        (b"d", _push(lambda m: m.fill(m.since_mark(), {}))),
        (b"s", _Machine.set_item),
        (b"u", _Machine.set_items),
        (b"\x8f", _push(lambda _: set())),
        (b"\x90", _Machine.add_items),
        (b"\x91", _push(lambda m: frozenset(_key(item) for item in m.since_mark()))),
        (b"g", _push(lambda m: m.memo[int(m.line())])),
        (b"h", _push(lambda m: m.memo[m.byte()])),
        (b"j", _push(lambda m: m.memo[m.number(4)])),
        (b"p", lambda m: m.remember(int(m.line()))),
        (b"q", lambda m: m.remember(m.byte())),
        (b"r", lambda m: m.remember(m.number(4))),
        (b"\x94", lambda m: m.remember(len(m.memo))),
        (b"c", _push(lambda m: m.name(m.line(), m.line()))),
        (b"\x93", _push(lambda m: m.name(*m.pop_tuple(2)))),
        (b"R", _Machine.call),
        (b"b", _Machine.build),
    )
}
