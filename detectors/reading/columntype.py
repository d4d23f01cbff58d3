"""What an Arrow column may be, and what its rows weigh before they are looked at.

A few bytes of Arrow can stand for gigabytes of Python objects: a list of two thousand
million nulls takes eight bytes, and dictionaries and views repeat one string at will.
So types that can multiply without bound are refused, and the others are weighed.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from detectors.errors import DatasetError
from detectors.reading.fault import shown

_VIEWS = (types.is_string_view, types.is_binary_view)
_SIZED = (
    types.is_string,
    types.is_large_string,
    types.is_binary,
    types.is_large_binary,
    types.is_fixed_size_binary,
)
_PLAIN = (types.is_null, types.is_primitive, types.is_temporal, types.is_decimal)
_LISTS = (types.is_list, types.is_large_list, types.is_fixed_size_list)


def check_column_type(kind: pa.DataType, levels: int, column: str) -> None:
    """DatasetError where a column nests too deep, is ambiguous or cannot be weighed."""
    if levels < 0:
        raise DatasetError(f"column {shown(column)} nests deeper than max_nesting")
    if types.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        if len(set(names)) != len(names):
            raise DatasetError(f"column {shown(column)} names a field twice")
        for i in range(kind.num_fields):
            check_column_type(kind.field(i).type, levels - 1, column)
    elif _is(kind, _LISTS):
        check_column_type(kind.value_type, levels - 1, column)
    elif types.is_dictionary(kind):
        if not _is(kind.value_type, _SIZED + _PLAIN):
            raise _refused(kind, column)
    elif not _is(kind, _SIZED + _VIEWS + _PLAIN):
        raise _refused(kind, column)


def weight(array: pa.Array, bound: int) -> int:
    """Bytes of text plus number of values that a validated array stands for.

    Over `bound` the count may stop early; it is over `bound` then too.
    """
    kind, total = array.type, len(array)
    if types.is_struct(kind):
        for child in array.flatten():
            total += weight(child, bound)
            if total > bound:
                return total
    elif _is(kind, _LISTS):
        total += _sum(pc.list_value_length(array))
        if total <= bound:  # flattened only where that is cheap
            total += weight(array.flatten(), bound)
    elif types.is_dictionary(kind):
        if _is(kind.value_type, _SIZED):
            total += _sum(pc.take(pc.binary_length(array.dictionary), array.indices))
    elif _is(kind, _SIZED):
        total += _sum(pc.binary_length(array))
    elif _is(kind, _VIEWS):
        total += _view_bytes(array)
    return total


def _view_bytes(array: pa.Array) -> int:
    """Total length of a view array: the first int32 of each 16-byte view."""
    views = array.buffers()[1]
    if views is None or not len(array):
        return 0
    words = np.frombuffer(views, dtype="<i4")[::4]
    lengths = words[array.offset : array.offset + len(array)].astype(np.int64)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    return int(lengths[valid].sum())


def _sum(lengths: pa.Array) -> int:
    return int(pc.sum(lengths).as_py() or 0)


def _is(kind: pa.DataType, checks: tuple[object, ...]) -> bool:
    return any(callable(check) and check(kind) for check in checks)


def _refused(kind: pa.DataType, column: str) -> DatasetError:
    return DatasetError(
        f"column {shown(column)} has the type {shown(str(kind))}, which is not read; "
        "write it as strings, numbers, lists and structs"
    )
