"""What the master tells of jobs, slaves and itself, as typed objects. Fields that this version does not
know are passed over, and fields that the master does not send have their defaults: an older or newer
master does no harm."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Type, TypeVar, Union, get_args, get_origin, get_type_hints

from .spec import Spec

V = TypeVar("V")

#: The states of jobs that have ended.
ENDED = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    #: Bytes of (decompressed) input that have arrived.
    bytes_received: int = 0
    #: Bytes of (decompressed) input that are expected; `None` where that is not known.
    bytes_expected: Optional[int] = None
    #: Bytes of input that have been counted.
    bytes_counted: int = 0
    #: Milliseconds since the job was opened, up to its end.
    elapsed_ms: int = 0
    records_per_second: int = 0
    bytes_per_second: int = 0


@dataclass(frozen=True)
class TaskCounts:
    """How many tasks of a job are where."""

    cut: int = 0
    queued: int = 0
    running: int = 0
    done: int = 0
    #: Attempts beyond the first.
    retried: int = 0


@dataclass(frozen=True)
class Receipt:
    """The proof that nothing was lost: `records == counted + rejected`."""

    records: int = 0
    counted: int = 0
    rejected: int = 0
    #: Rejects that were counted after all, corrected, by repairs.
    repaired: int = 0
    verified: int = 0
    unverified: int = 0
    blank_lines: int = 0
    #: Bytes of (decompressed) input, the header included.
    bytes: int = 0
    #: CRC-32C of these bytes.
    crc32c: int = 0


@dataclass(frozen=True)
class Total:
    """An aggregate over the whole input."""

    name: str = ""
    value: int = 0


@dataclass(frozen=True)
class ResultInfo:
    """What came out of a job."""

    #: Rows, the header not included.
    rows: int = 0
    #: Bytes of CSV.
    bytes: int = 0
    #: SHA-256 of these bytes: 64 hexadecimal digits.
    sha256: str = ""
    totals: list[Total] = field(default_factory=list)


@dataclass(frozen=True)
class RejectView:
    """A record that could not be counted, as a job shows it: the first 256 bytes, as text."""

    line: int = 0
    byte_offset: int = 0
    column: Optional[str] = None
    reason: str = ""
    record: str = ""


@dataclass(frozen=True)
class Share:
    """What one slave has done for a job."""

    name: str = ""
    tasks: int = 0
    bytes: int = 0
    records: int = 0


@dataclass(frozen=True)
class JobView:
    """A job as it was when the master was asked."""

    id: str
    name: str = ""
    #: `receiving`, `running`, `merging`, `succeeded`, `failed` or `cancelled`.
    state: str = ""
    #: `high`, `default` or `low`.
    priority: str = "default"
    spec: Spec = field(default_factory=lambda: Spec(group_by=[]))
    opened_at: Optional[datetime.datetime] = None
    ended_at: Optional[datetime.datetime] = None
    #: When it will be removed.
    expires_at: Optional[datetime.datetime] = None
    keep_input: bool = False
    #: The job whose rejects this one corrects.
    repairs: Optional[str] = None
    #: The last job that has corrected rejects of this one.
    repaired_by: Optional[str] = None
    #: Whose it is: the id of a key, or `cert:` and the name of a certificate.
    owner: Optional[str] = None
    #: Why it failed.
    error: Optional[str] = None
    #: What it waits for, such as a slave.
    waiting_for: Optional[str] = None
    #: It failed because its input never came whole.
    input_lost: bool = False
    in_place: Optional[str] = None
    result_path: Optional[str] = None
    progress: Progress = field(default_factory=Progress)
    tasks: TaskCounts = field(default_factory=TaskCounts)
    receipt: Receipt = field(default_factory=Receipt)
    #: What came out, once it has succeeded.
    result: Optional[ResultInfo] = None
    #: The first rejects.
    rejects: list[RejectView] = field(default_factory=list)
    slaves: list[Share] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED


@dataclass(frozen=True)
class SlaveView:
    """A slave that is joined."""

    id: str
    session: str = ""
    name: str = ""
    version: str = ""
    #: Worker threads.
    workers: int = 0
    #: Tasks that are being counted.
    running: int = 0
    #: Tasks that wait on the slave for a worker.
    prefetched: int = 0
    completed: int = 0
    failed: int = 0
    draining: bool = False
    quarantined: bool = False
    last_heard_ms: int = 0
    bytes: int = 0
    records: int = 0
    bytes_per_second: int = 0
    #: Bytes a second for each of the last 60 seconds, oldest first.
    history: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class SetAsideView:
    """A slave that has lied, and is not let in."""

    name: str
    reason: str = ""
    #: Since when: RFC 3339, UTC.
    since: str = ""


@dataclass(frozen=True)
class InputReceipt:
    """An input, up to where its first task begins."""

    name: str = ""
    header_bytes: int = 0
    header_crc32c: int = 0


@dataclass(frozen=True)
class TaskAnswer:
    """The answer to a task."""

    records: int = 0
    counted: int = 0
    rejected: int = 0
    blank_lines: int = 0
    lines: int = 0
    groups: int = 0
    run_bytes: int = 0
    run_crc32c: int = 0
    slave: str = ""
    attempt: int = 0


@dataclass(frozen=True)
class TaskReceipt:
    """What one task came to."""

    number: int = 0
    input: int = 0
    byte_offset: int = 0
    bytes: int = 0
    crc32c: int = 0
    answer: Optional[TaskAnswer] = None


@dataclass(frozen=True)
class FullReceipt:
    """A receipt with all that it adds up: the parts of each input, and who answered for them."""

    job: str
    state: str = ""
    total: Receipt = field(default_factory=Receipt)
    inputs: list[InputReceipt] = field(default_factory=list)
    tasks: list[TaskReceipt] = field(default_factory=list)


@dataclass(frozen=True)
class Coverage:
    """How much of an input has been counted."""

    bytes: int = 0
    of_bytes: int = 0
    #: The share, from 0 to 1.
    share: float = 0.0
    tasks: int = 0


@dataclass(frozen=True)
class Look:
    """Some rows of a result."""

    columns: list[str] = field(default_factory=list)
    #: Each with a text for every column.
    rows: list[list[str]] = field(default_factory=list)
    #: Where the next rows begin; `None` where there are no more.
    next_offset: Optional[int] = None
    #: Rows of the whole result; `None` where it is not written yet.
    total_rows: Optional[int] = None
    #: `None` where the rows cover all of the input.
    coverage: Optional[Coverage] = None


@dataclass(frozen=True)
class ColumnReport:
    """A column of an input that was looked at before it is counted."""

    name: str = ""
    #: `integer`, `date` or `text`.
    kind: str = ""
    #: `group by`, `sum`, `min`, `max` or nothing.
    role: Optional[str] = None
    distinct: int = 0
    empty: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PreflightSample:
    """What was looked at."""

    bytes: int = 0
    #: It is all of the input: what is predicted is known.
    whole: bool = False
    records: int = 0
    groups: int = 0
    rejected: int = 0
    rejects: list[RejectView] = field(default_factory=list)


@dataclass(frozen=True)
class Prediction:
    """What is to be expected of a whole input: estimates, from a sample of its beginning."""

    bytes: int = 0
    records: int = 0
    groups: int = 0
    rejected: int = 0
    result_bytes: int = 0
    disk_bytes: int = 0
    disk_room: Optional[int] = None
    #: Seconds on the cluster as it is; `None` where there are no slaves.
    seconds: Optional[float] = None


@dataclass(frozen=True)
class Preflight:
    """What a sample of an input shows, and what is to be expected of all of it."""

    #: It can be counted by `spec`, as far as the sample shows.
    ok: bool
    #: What stands in the way or is odd; each says what to do.
    problems: list[str] = field(default_factory=list)
    compression: str = ""
    encoding: str = ""
    delimiter: str = ""
    line_end: str = ""
    columns: list[ColumnReport] = field(default_factory=list)
    sample: PreflightSample = field(default_factory=PreflightSample)
    spec: Optional[Spec] = None
    #: A spec that would fit, where the one that was tried does not.
    suggestion: Optional[Spec] = None
    prediction: Optional[Prediction] = None


def view(cls: Type[V], data: Any) -> V:
    """The view `cls` of the JSON that the master sent."""
    found: V = _read(cls, data)
    return found


@functools.lru_cache(maxsize=None)
def _fields(cls: type) -> Mapping[str, Any]:
    hints = get_type_hints(cls)
    return {one.name: hints[one.name] for one in dataclasses.fields(cls)}


def _read(kind: Any, data: Any) -> Any:
    """`data` as a value of the type `kind`, which is one of those that this file uses."""
    if get_origin(kind) is Union:
        (inner,) = (one for one in get_args(kind) if one is not type(None))
        return None if data is None else _read(inner, data)
    if get_origin(kind) is list:
        (inner,) = get_args(kind)
        return [_read(inner, one) for one in data or []]
    if kind is Spec:
        return Spec.from_json(data)
    if kind is datetime.datetime:
        return datetime.datetime.fromisoformat(str(data).replace("Z", "+00:00"))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        known = _fields(kind)
        return kind(**{name: _read(known[name], one) for name, one in data.items() if name in known})
    # Totals are sent as texts, since they may be larger than what JSON's readers take.
    return kind(data)
