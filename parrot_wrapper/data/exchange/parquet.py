"""Parquet tables of strangers: chosen columns, after a look at what they claim to hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parrot_wrapper.data.exchange.guarded_files import MAX_ARRAY_BYTES, foreign_errors
from parrot_wrapper.errors import DataFileError, MissingExtraError
from parrot_wrapper.types import AnyArray

_VALUE_BYTES = 8


def read_parquet(path: Path, columns: Sequence[str]) -> Any:
    """The columns of a table that are there, as a `pyarrow.Table`.

    Raises:
        DataFileError: It is no such table, is broken, or claims absurdly much.
        MissingExtraError: pyarrow is not installed.
    """
    parquet = _pyarrow_parquet()
    with foreign_errors(path, "a Parquet table"), parquet.ParquetFile(path) as file:
        chosen = [name for name in columns if name in file.schema_arrow.names]
        claimed = 0
        for group in range(file.metadata.num_row_groups):
            for index in range(file.metadata.num_columns):
                column = file.metadata.row_group(group).column(index)
                if any(_is_part_of(column.path_in_schema, name) for name in chosen):
                    # one repeated value takes no room in the file, but does in memory
                    claimed += max(column.total_uncompressed_size, column.num_values * _VALUE_BYTES)
        if claimed > MAX_ARRAY_BYTES:
            raise DataFileError(
                f"{path}: claims {claimed} bytes; at most {MAX_ARRAY_BYTES} are read at once."
            )
        # Threads would win little and keep more of the file in memory.
        return file.read(columns=chosen, use_threads=False)


def _is_part_of(path_in_schema: str, name: str) -> bool:
    return path_in_schema == name or path_in_schema.startswith(f"{name}.")


def column_array(table: Any, name: str, path: Path) -> AnyArray:
    """A column of numbers, or of equally long lists of them, as an array (rows,) or (rows, ...).

    Raises:
        DataFileError: There is no such column, or it holds something else.
    """
    if name not in table.column_names:
        raise DataFileError(
            f"{path}: expected a column {name!r}, got {', '.join(table.column_names) or 'none'}."
        )
    with foreign_errors(path, f"numbers in the column {name!r}"):
        import pyarrow as arrow

        column = table[name].combine_chunks()
        column = getattr(column, "storage", column)  # fixed shapes are stored as nested lists
        shape = [len(column)]
        while arrow.types.is_list(column.type) or arrow.types.is_fixed_size_list(column.type):
            rows, column = len(column), column.flatten()
            if not rows or len(column) % rows:
                raise ValueError("lists of different lengths")
            shape.append(len(column) // rows)
        numbers = arrow.types.is_floating(column.type) or arrow.types.is_integer(column.type)
        if not numbers and not arrow.types.is_boolean(column.type):
            raise ValueError(f"the type is {table.schema.field(name).type}")
        values: AnyArray = np.asarray(column.to_numpy(zero_copy_only=False))
        if values.dtype.kind not in "fiub":
            raise ValueError("there are empty cells")
        return values.reshape(shape)


def _pyarrow_parquet() -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtraError(
            f"LeRobot folders need pyarrow: pip install 'parrot-wrapper[lerobot]' ({error})."
        ) from error
    return parquet
