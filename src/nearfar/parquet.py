"""Tables in Parquet files: written a row group at a time, read a column at a time, so that no second copy is held."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.errors import InputError
from nearfar.files import check_file, replacing

__all__ = ["coded_text", "read_table", "write_table"]

Array = npt.NDArray[Any]

ROWS = 1 << 20
"""Of a row group."""
_UNSUSPECTED_ROWS, _MOST_ROWS_A_BYTE = 2_000_000, 8
"""Tables that claim more rows than both bounds are not believed: a few bytes of Parquet can claim billions."""
_LONGEST_TEXT = 256


def write_table(path: str | Path, columns: Mapping[str, Array], header: Mapping[str, Any]) -> None:
    """Write (M,) columns, whole or not at all, and a JSON header as the metadata "nearfar".

    Text is stored by dictionary, integers above 16 bits by their differences.

    Raises:
        InputError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.dictionary(pa.int32(), pa.string())
    kinds = {name: text if c.dtype.kind == "U" else pa.from_numpy_dtype(c.dtype) for name, c in columns.items()}
    schema = pa.schema(kinds, metadata={"nearfar": json.dumps(header)})
    rising = [name for name, column in columns.items() if column.dtype.kind == "i" and column.dtype.itemsize > 2]
    repeated = [name for name, column in columns.items() if name not in rising and column.dtype.kind != "f"]
    encoding = dict.fromkeys(rising, "DELTA_BINARY_PACKED")
    # Through a file that Python opened: Arrow refuses names that are not UTF-8.
    with (
        replacing(path) as temporary,
        temporary.open("wb") as file,
        pq.ParquetWriter(file, schema, use_dictionary=repeated, column_encoding=encoding) as writer,
    ):
        for start in range(0, len(next(iter(columns.values()))), ROWS):
            part = {name: _arrow(column[start : start + ROWS]) for name, column in columns.items()}
            writer.write_table(pa.table(part, schema=schema), row_group_size=ROWS)


def _arrow(column: Array) -> Any:
    import pyarrow as pa

    if column.dtype.kind != "U":
        return pa.array(column)
    names, codes = coded_text(column)
    return pa.DictionaryArray.from_arrays(codes, pa.array(names, pa.string()))


def coded_text(column: Array) -> tuple[Array, Array]:
    """The (K,) different texts of (M,), in order of appearance, and which of them each is: by hashing, not sorting."""
    import pyarrow as pa

    column = np.ascontiguousarray(column)
    cells = pa.Array.from_buffers(
        pa.binary(column.itemsize), len(column), [None, pa.py_buffer(column.view(np.uint8))]
    ).dictionary_encode()
    names = np.ndarray(len(cells.dictionary), column.dtype, cells.dictionary.buffers()[1])
    return names, cells.indices.to_numpy()


def read_table(path: str | Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """The header and the columns of what `write_table` wrote, or another program.

    Raises:
        InputError: no such file, not Parquet, damaged, no header, more rows than the file can hold, or rows without a
            value.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_file(path)
    try:
        file = pq.ParquetFile(path, memory_map=True)
        rows, size = file.metadata.num_rows, Path(path).stat().st_size
        if rows > max(_UNSUSPECTED_ROWS, _MOST_ROWS_A_BYTE * size):
            raise InputError(f"{path}: claims {rows} rows, too many for its {size} bytes")
        header = json.loads((file.metadata.metadata or {})[b"nearfar"])
        columns = {}
        for name in file.schema_arrow.names:
            column = file.read([name])[name]
            if column.null_count:
                raise InputError(f"{path}: column {name!r}: rows without a value")
            columns[name] = _text(column, f"{path}: column {name!r}") if _is_text(column.type) else column.to_numpy()
        return header, columns
    except KeyError as error:
        raise InputError(f"{path}: not a nearfar table (missing {error})") from None
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a Parquet file, or a damaged one ({error})") from None


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _text(column: Any, where: str) -> Array:
    """A column of text as numpy has it, which gives every row the room of the longest."""
    import pyarrow as pa

    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    chunks = coded.unify_dictionaries().chunks
    names = chunks[0].dictionary.to_pylist() if chunks else []
    if (longest := max(map(len, names), default=0)) > _LONGEST_TEXT:
        raise InputError(f"{where}: a text of {longest} characters, expected at most {_LONGEST_TEXT}")
    codes = [chunk.indices.to_numpy() for chunk in chunks]
    return np.array(names, np.str_)[np.concatenate(codes)] if codes else np.empty(0, np.str_)
