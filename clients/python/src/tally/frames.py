"""Results as tables of Arrow, pandas and Polars: what these need is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from .spec import Spec

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


def from_arrow(stream: BinaryIO) -> pyarrow.Table:
    """The table that an Arrow stream holds."""
    pa: Any = _need("pyarrow", "arrow")
    import pyarrow.ipc

    with pyarrow.ipc.open_stream(pa.PythonFile(stream, mode="r")) as reader:
        return reader.read_all()


def from_csv(stream: BinaryIO, spec: Spec) -> pyarrow.Table:
    """The table that a result's CSV holds."""
    pa: Any = _need("pyarrow", "arrow")
    import pyarrow.csv as csv

    kinds = {"text": pa.string(), "integer": pa.int64(), "date": pa.date32()}
    types = {key.name: kinds.get(key.kind, pa.string()) for key in spec.group_by}
    types.update({one.name: pa.int64() for one in spec.aggregates})
    return csv.read_csv(
        pa.PythonFile(stream, mode="r"),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=False),
    )


def to_pandas(table: pyarrow.Table) -> pandas.DataFrame:
    """A data frame of pandas."""
    _need("pandas", "pandas")
    frame: pandas.DataFrame = table.to_pandas(date_as_object=False)
    return frame


def to_polars(table: pyarrow.Table) -> polars.DataFrame:
    """A data frame of Polars."""
    pl: Any = _need("polars", "polars")
    frame: polars.DataFrame = pl.from_arrow(table)
    return frame


def _need(module: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"this needs {module}: pip install 'tally-client[{extra}]'") from error
