"""What a job computes, and how a request says so."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Iterable, List, Mapping, Optional, Sequence, Tuple, TypedDict, Union

#: A name, or several.
Names = Union[str, Iterable[str]]

Pairs = List[Tuple[str, str]]

_TITLES = {"sum": "Total", "min": "Minimum", "max": "Maximum"}


@dataclass(frozen=True)
class Column:
    """A column that groups: its name in the header, and whether it is `text`, `integer` or `date`."""

    name: str
    kind: str = "text"


@dataclass(frozen=True)
class Aggregate:
    """An output column: `sum`, `min` or `max` of a column, or `count` of records, and its name."""

    op: str
    column: Optional[str]
    name: str


@dataclass(frozen=True)
class Spec:
    """What a job computes."""

    group_by: Sequence[Column]
    aggregates: Sequence[Aggregate] = field(default_factory=list)
    #: `sorted` or `first-seen`.
    order: str = "sorted"
    #: `comma`, `semicolon`, `tab` or `pipe`; `None`: found out from the header.
    delimiter: Optional[str] = None
    #: Records that may be rejected before the job fails: a number, or a percentage such as `0.5%`.
    max_rejects: Union[int, str] = 0

    @classmethod
    def preset(cls, name: str) -> Spec:
        """The preset `plays` or `products`.

        >>> Spec.preset("products").columns
        ['name', 'no_of_products']
        """
        if name == "plays":
            total = Aggregate("sum", "Number of Plays", "Total Number of Plays for Date")
            return cls([Column("Song"), Column("Date", "date")], [total])
        if name == "products":
            return cls([Column("name")], [Aggregate("count", None, "no_of_products")])
        raise ValueError(f"there is no preset {name!r}: plays and products are")

    @classmethod
    def of(
        cls,
        group_by: Names,
        *,
        sum: Names = (),
        min: Names = (),
        max: Names = (),
        count: Optional[str] = None,
        order: str = "sorted",
        delimiter: Optional[str] = None,
        max_rejects: Union[int, str] = 0,
    ) -> Spec:
        """From short forms. Columns that group are `NAME` or `NAME:text`, `NAME:integer`, `NAME:date` (one
        named Date is a date unless it says otherwise); `sum`, `min` and `max` are `COLUMN` or
        `COLUMN=OUTPUT NAME`; `count` is an output name.

        >>> Spec.of(["Shop", "Article:integer"], sum="Price=Revenue", count="Sales").columns
        ['Shop', 'Article', 'Revenue', 'Sales']
        """
        keys = [_column(one) for one in _names(group_by)]
        last = keys[-1].name if keys else ""
        aggregates = []
        for op, columns in (("sum", sum), ("min", min), ("max", max)):
            for one in _names(columns):
                column, given, name = one.partition("=")
                column = column.strip()
                name = name.strip() if given else f"{_TITLES[op]} {column} for {last}"
                aggregates.append(Aggregate(op, column, name))
        if count is not None or not aggregates:
            aggregates.append(Aggregate("count", None, count or "Count"))
        return cls(keys, aggregates, order, delimiter, max_rejects)

    @property
    def columns(self) -> list[str]:
        """The columns of the result."""
        return [one.name for one in self.group_by] + [one.name for one in self.aggregates]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Spec:
        """Of the JSON of the HTTP reference."""
        return cls(
            [Column(str(one["name"]), str(one["kind"])) for one in data.get("group_by") or []],
            [Aggregate(one["op"], one.get("column"), one["name"]) for one in data.get("aggregates") or []],
            str(data.get("order", "sorted")),
            data.get("delimiter"),
            data.get("max_rejects", 0),
        )

    def to_json(self) -> dict[str, Any]:
        """The JSON of the HTTP reference."""
        spec: dict[str, Any] = {
            "group_by": [{"name": one.name, "kind": one.kind} for one in self.group_by],
            "aggregates": [
                {"op": one.op, "column": one.column, "name": one.name} for one in self.aggregates
            ],
            "order": self.order,
            "max_rejects": str(self.max_rejects),
        }
        if self.delimiter is not None:
            spec["delimiter"] = self.delimiter
        return spec

    def to_query(self) -> Optional[Pairs]:
        """As the parameters of a request; `None` where these can not say it, such as a comma in the name of
        a column: only JSON can."""
        pairs: Pairs = []
        for key in self.group_by:
            if "," in key.name or key.name != key.name.strip():
                return None
            pairs.append(("group_by", f"{key.name}:{key.kind}"))
        for number, one in enumerate(self.aggregates):
            if not one.name or one.name != one.name.strip():
                return None
            if one.op == "count":
                if number + 1 < len(self.aggregates) or one.column is not None:
                    return None
                pairs.append(("count", one.name))
            else:
                column = one.column or ""
                if not column or "=" in column or column != column.strip():
                    return None
                pairs.append((one.op, f"{column}={one.name}"))
        pairs += [("order", self.order), ("max_rejects", str(self.max_rejects))]
        if self.delimiter is not None:
            pairs.append(("delimiter", self.delimiter))
        return pairs


class SpecOptions(TypedDict, total=False):
    """How to say what is computed: a `spec` or a `preset`, or `group_by` with its aggregates as `Spec.of`
    takes them. Without any of them it is the preset `plays`."""

    spec: Spec
    preset: str
    group_by: Names
    sum: Names
    min: Names
    max: Names
    count: str
    order: str
    delimiter: str
    max_rejects: Union[int, str]


def spec_of(options: Mapping[str, Any]) -> Spec:
    """The spec that options say; raises `TypeError` or `ValueError` where they make no sense."""
    unknown = sorted(set(options) - set(SpecOptions.__annotations__))
    if unknown:
        raise TypeError(f"there is no option {', '.join(unknown)}")
    given = {name: value for name, value in options.items() if value is not None}
    shaped = {name: given.pop(name) for name in ("group_by", "sum", "min", "max", "count") if name in given}
    spec, preset = given.pop("spec", None), given.pop("preset", None)
    if (spec is not None) + (preset is not None) + bool(shaped) > 1:
        raise ValueError("give one of: spec, preset, or group_by with its aggregates")
    if shaped:
        if "group_by" not in shaped:
            raise ValueError("sum, min, max and count need group_by")
        return Spec.of(**shaped, **given)
    spec = spec or Spec.preset(preset or "plays")
    rest = {name: given.get(name, getattr(spec, name)) for name in ("order", "delimiter", "max_rejects")}
    return Spec(spec.group_by, spec.aggregates, **rest)


def spec_part(spec: Spec) -> bytes:
    """A spec as the JSON part of a form."""
    return json.dumps(spec.to_json()).encode()


def _names(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _column(text: str) -> Column:
    name, given, kind = text.rpartition(":")
    if not given:
        kind = "date" if text.strip().casefold() == "date" else "text"
        return Column(text.strip(), kind)
    if kind not in ("text", "integer", "date"):
        raise ValueError(f"{kind!r} is not a column kind: text, integer and date are")
    return Column(name.strip(), kind)
