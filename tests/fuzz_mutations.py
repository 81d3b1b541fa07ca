"""Damage to files that knows their kind: bytes, text, JSON, numpy archives and Parquet tables."""

from __future__ import annotations

import copy
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

Draw = Callable[[Any], Any]

HUGE = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1]
WORDS = [
    "", "0", "-1", "1.5", "nan", "inf", "-inf", "1e999", "1e308", "99999999999999999999", "2147483648", "x", "é", "\x00",
    "[", "]", "{", "}", '"', "'", ",", "\n", " ", "null", "true", "1_000", "0x10", "#", "=", ":", "..", "/etc/passwd", "9" * 5000, "[" * 5000,
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, -1e308, 1e308, "", "x", "1", [], {}, [[]]]),
    st.just(float("nan")),
    st.lists(st.integers(-3, 3), max_size=4),
    st.dictionaries(st.sampled_from(["id", "x", "keypoints", "name"]), st.integers(-1, 1), max_size=2),
)  # fmt: skip
DTYPES = ["?", "i1", "u1", "i8", "u8", "f2", "f4", "f8", ">f4", "c16", "U3", "S3", "M8[s]", "m8[s]"]


def mutate(path: Path, draw: Draw, *, sound: bool) -> None:
    """Damage one file in a way that suits it; one that is not sound any more, as bytes."""
    content = path.read_bytes()
    ways = [mutate_bytes]
    if not sound:
        pass
    elif zipfile.is_zipfile(path):
        ways += [mutate_archive] * 3
    elif content.startswith(b"PAR1"):
        ways += [mutate_parquet] * 3
    elif b"\x00" not in content[:4000]:
        ways += [mutate_text]
        if content.lstrip()[:1] in (b"{", b"["):
            ways += [mutate_json] * 2
    path.write_bytes(draw(st.sampled_from(ways))(content, draw))


def mutate_bytes(content: bytes, draw: Draw) -> bytes:
    """Cut, changed, spliced, and given numbers that are too large."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["cut", "flip", "huge", "huge", "splice", "drop"])):
            case "cut":
                del data[at:]
            case "flip":
                data[at] = draw(st.integers(0, 255))
            case "huge":
                size, order = draw(st.sampled_from([1, 2, 4, 8])), draw(st.sampled_from(["little", "big"]))
                value = draw(st.sampled_from(HUGE)) & (256**size - 1)
                data[at : at + size] = value.to_bytes(size, order)
            case "splice":
                start, size = draw(st.integers(0, len(data) - 1)), draw(st.integers(1, 64))
                data[at : at + (size if draw(st.booleans()) else 0)] = data[start : start + size]
            case "drop":
                del data[at : at + draw(st.integers(1, 16))]
    return bytes(data)


def mutate_text(content: bytes, draw: Draw) -> bytes:
    """Words exchanged for others, lines dropped and doubled."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return mutate_bytes(content, draw)
    for _ in range(draw(st.integers(1, 3))):
        spans = [match.span() for match in re.finditer(r"[^\s,;:\[\]{}\"=]+", text)]
        lines = text.splitlines(keepends=True)
        if not spans or not lines:
            break
        match draw(st.sampled_from(["word", "word", "other", "line", "double"])):
            case "word":
                start, end = draw(st.sampled_from(spans))
                text = text[:start] + draw(st.sampled_from(WORDS)) + text[end:]
            case "other":
                (start, end), (a, b) = draw(st.sampled_from(spans)), draw(st.sampled_from(spans))
                text = text[:start] + text[a:b] + text[end:]
            case "line":
                del lines[draw(st.integers(0, len(lines) - 1))]
                text = "".join(lines)
            case "double":
                lines.insert(draw(st.integers(0, len(lines))), lines[draw(st.integers(0, len(lines) - 1))])
                text = "".join(lines)
    return text.encode("utf-8")


def mutate_json(content: bytes, draw: Draw) -> bytes:
    """A value exchanged for one of another kind, or left out."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return mutate_bytes(content, draw)
    if draw(st.integers(0, 19)) == 0:
        return b"[" * 100_000 + b"]" * 100_000
    for _ in range(draw(st.integers(1, 2))):
        data = _exchanged(data, draw)
    return json.dumps(data).encode()


def _exchanged(data: Any, draw: Draw) -> Any:
    """The data with one place of it changed, drawn on the way down."""
    keys = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    if not keys or draw(st.integers(0, 9)) == 0:
        return copy.deepcopy(draw(VALUES))  # it may be changed in its turn
    key = draw(st.sampled_from(keys))
    match draw(st.integers(0, 9)):
        case 0:
            del data[key]
        case 1 if isinstance(data, list):
            data.insert(key, data[draw(st.sampled_from(keys))])
        case 2 if isinstance(data, dict):
            data[draw(st.sampled_from(["", "x", "id"]))] = data.pop(key)
        case _:
            data[key] = _exchanged(data[key], draw)
    return data


def mutate_archive(content: bytes, draw: Draw) -> bytes:
    """One member of a numpy archive damaged, exchanged for another, renamed or left out; the archive itself is sound."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:  # damaged before
        return mutate_bytes(content, draw)
    names = sorted(members)
    if not names:
        return mutate_bytes(content, draw)
    name = draw(st.sampled_from(names))
    match draw(st.sampled_from(["bytes", "head", "array", "array", "array", "other", "drop"])):
        case "bytes":
            members[name] = mutate_bytes(members[name], draw)
        case "head":
            members[name] = mutate_bytes(members[name][:128], draw) + members[name][128:]
        case "array":
            members[name] = _other_array(members[name], draw)
        case "other":
            members[name] = members[draw(st.sampled_from(names))]
        case "drop":
            del members[name]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return out.getvalue()


def _other_array(content: bytes, draw: Draw) -> bytes:
    """A ``.npy`` file with other numbers, another type or another shape; its text, where it is JSON, changed."""
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception:  # damaged before
        return mutate_bytes(content, draw)
    if array.dtype.kind == "U" and array.ndim == 0 and str(array[()]).startswith("{"):
        return _npy(np.array(mutate_json(str(array[()]).encode(), draw).decode()))
    match draw(st.sampled_from(["dtype", "shape", "value", "value", "rows", "bare", "order"])):
        case "dtype":
            with np.errstate(all="ignore"):
                dtype = draw(st.sampled_from(DTYPES))
                array = np.zeros(array.shape, dtype) if array.dtype.kind in "US" else array.astype("f8").astype(dtype)
        case "shape":
            array = draw(st.sampled_from([array.reshape(-1), array[None], array.T, array.reshape(-1)[:1].reshape(())]
                                         if array.size else [array.reshape(-1), array[None]]))  # fmt: skip
        case "value" if array.dtype.kind in "fiu" and array.size:
            array = array.copy()
            odd = [np.nan, np.inf, -np.inf, 1e30, 0] if array.dtype.kind == "f" else None
            limits = np.iinfo(array.dtype) if odd is None else None
            value = draw(st.sampled_from(odd or [limits.min, limits.max, -1 if limits.min else 0, 7]))
            where = array.reshape(-1) if draw(st.booleans()) else array.reshape(-1)[:1]
            where[:] = value
        case "rows":
            array = array[: draw(st.integers(0, 3))] if array.ndim else array
        case "bare":
            array = np.array([])
        case "order":
            array = np.asfortranarray(array[::-1] if array.ndim else array)
    return _npy(array)


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def mutate_parquet(content: bytes, draw: Draw) -> bytes:
    """A label table with another header, other types or values, or without a column; the file itself is sound."""
    try:
        table = pq.read_table(io.BytesIO(content))
    except Exception:  # damaged before
        return mutate_bytes(content, draw)
    name = draw(st.sampled_from(table.column_names))
    at = table.column_names.index(name)
    match draw(st.sampled_from(["header", "header", "drop", "type", "null", "value", "cut"])):
        case "header":
            header = mutate_json((table.schema.metadata or {}).get(b"nearfar", b"{}"), draw)
            table = table.replace_schema_metadata({"nearfar": header})
        case "drop":
            table = table.drop_columns([name])
        case "type":
            kind = draw(st.sampled_from([pa.string(), pa.float64(), pa.int64(), pa.bool_(), pa.binary()]))
            values = [None if value is None else str(value) for value in table[name].to_pylist()]
            try:
                column = pa.array(values).cast(kind)
            except pa.ArrowException:
                column = pa.nulls(len(table), kind)
            table = table.set_column(at, name, column)
        case "null":
            table = table.set_column(at, name, pa.nulls(len(table), table[name].type))
        case "value":
            value = draw(st.sampled_from([-(2**62), -1, 0, 1, 7, 127, 2**15, 2**62]))
            table = table.set_column(at, name, pa.array([value] * len(table)))
        case "cut":
            table = table.slice(0, draw(st.integers(0, 2)))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()
