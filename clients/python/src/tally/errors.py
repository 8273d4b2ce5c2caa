"""What can go wrong: problems that the master reports, a master that can not be reached, jobs that fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping, Optional

if TYPE_CHECKING:
    from .views import JobView


@dataclass(frozen=True)
class Problem:
    """An error as the master reports it (RFC 9457, `application/problem+json`)."""

    #: What kind it is: a URI reference into the HTTP reference, such as `/docs/http.md#bad-input`.
    type: str
    #: The kind in words; the same for each of a kind.
    title: str
    #: The HTTP status.
    status: int
    #: What was wrong this time, and what to do.
    detail: str
    #: The id of the job that it is about.
    job: Optional[str] = None

    @property
    def kind(self) -> str:
        """The kind alone, such as `bad-input`."""
        return self.type.rpartition("#")[2]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Problem:
        """Of the JSON that the master sends; fields that are not known are passed over."""
        job = data.get("job")
        return cls(
            type=str(data.get("type", "about:blank")),
            title=str(data.get("title", "")),
            status=int(data.get("status", 0)),
            detail=str(data.get("detail", "")),
            job=None if job is None else str(job),
        )


class TallyError(Exception):
    """Anything that Tally could not do. `problem` says what the master said, where it said something."""

    def __init__(self, message: str, problem: Optional[Problem] = None):
        super().__init__(message)
        self.problem = problem

    @classmethod
    def of(cls, problem: Problem) -> TallyError:
        """Of a problem that the master has reported."""
        text = f"{problem.title}: {problem.detail}" if problem.detail else problem.title
        return cls(text, problem)

    @property
    def kind(self) -> Optional[str]:
        """The problem's kind, such as `bad-input`."""
        return self.problem.kind if self.problem else None

    @property
    def status(self) -> Optional[int]:
        """The HTTP status."""
        return self.problem.status if self.problem else None

    @property
    def job(self) -> Optional[str]:
        """The id of the job that it is about."""
        return self.problem.job if self.problem else None


class Unreachable(TallyError):
    """The master could not be reached, or broke off, for longer than the client was told to go on trying."""


class JobFailed(TallyError):
    """A job has failed or was cancelled; `view` is the job, with its error and first rejects."""

    def __init__(self, view: JobView):
        reason = view.error or f"it is {view.state}"
        super().__init__(f"job {view.id} ({view.name}) gives no result: {reason}")
        self.view = view

    @property
    def job(self) -> Optional[str]:
        """The id of the job."""
        return self.view.id
