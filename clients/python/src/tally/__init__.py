"""Counts CSV files with a Tally cluster.

    import tally

    for song, date, plays in tally.count("plays.csv"):
        ...

`count` and `submit` are for one file; `Client` is for all else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Union, overload

from .client import DEFAULT_URL, Client
from .errors import JobFailed, Problem, TallyError, Unreachable
from .job import Job, OnProgress, Path, Reject
from .rows import Row, Rows, Value
from .source import OnSent, Source
from .spec import Aggregate, Column, Spec, SpecOptions
from .tables import Change, ChangesLost, Outcome, Table, TableRow, Tables, TableView
from .views import (
    FullReceipt,
    JobView,
    Look,
    Preflight,
    Progress,
    Receipt,
    RejectView,
    ResultInfo,
    SetAsideView,
    SlaveView,
    TaskCounts,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "DEFAULT_URL",
    "Aggregate",
    "Change",
    "ChangesLost",
    "Client",
    "Column",
    "FullReceipt",
    "Job",
    "JobFailed",
    "JobView",
    "Look",
    "Outcome",
    "Preflight",
    "Problem",
    "Progress",
    "Receipt",
    "Reject",
    "RejectView",
    "ResultInfo",
    "Row",
    "Rows",
    "SetAsideView",
    "SlaveView",
    "Spec",
    "SpecOptions",
    "Table",
    "TableRow",
    "TableView",
    "Tables",
    "TallyError",
    "TaskCounts",
    "Unreachable",
    "Value",
    "count",
    "submit",
]


@overload
def count(
    source: Source, *, url: str = DEFAULT_URL, out: None = None, name: Optional[str] = None,
    priority: Optional[str] = None, timeout: Optional[float] = None,
    progress: Union[None, bool, OnProgress] = None, delete: bool = False, **spec: Unpack[SpecOptions],
) -> Rows: ...
@overload
def count(
    source: Source, *, url: str = DEFAULT_URL, out: Path, name: Optional[str] = None,
    priority: Optional[str] = None, timeout: Optional[float] = None,
    progress: Union[None, bool, OnProgress] = None, delete: bool = False, **spec: Unpack[SpecOptions],
) -> JobView: ...
def count(
    source: Source, *, url: str = DEFAULT_URL, out: Optional[Path] = None, name: Optional[str] = None,
    priority: Optional[str] = None, timeout: Optional[float] = None,
    progress: Union[None, bool, OnProgress] = None, delete: bool = False, **spec: Unpack[SpecOptions],
) -> Union[Rows, JobView]:
    """Counts an input with the master at `url`: gives the rows of the result as they arrive, or writes them
    to the file `out` and gives the job. As `Client.count`."""
    client = Client(url)
    if out is None:
        return client.count(
            source, name=name, priority=priority, timeout=timeout, progress=progress, delete=delete, **spec
        )
    return client.count(
        source, out=out, name=name, priority=priority, timeout=timeout, progress=progress, delete=delete, **spec
    )


def submit(
    source: Source, *, url: str = DEFAULT_URL, name: Optional[str] = None, priority: Optional[str] = None,
    keep_input: bool = False, key: Optional[str] = None, progress: Union[None, bool, OnSent] = None,
    **spec: Unpack[SpecOptions],
) -> Job:
    """Submits an input to the master at `url` and gives the job. As `Client.submit`."""
    client = Client(url)
    return client.submit(
        source, name=name, priority=priority, keep_input=keep_input, key=key, progress=progress, **spec
    )
