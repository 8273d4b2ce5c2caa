"""The kinds of files, and what is counted in each."""

from dataclasses import dataclass, field

PLAYS_COLUMNS = [("Song", "text"), ("Date", "date"), ("Number of Plays", "integer")]
WIDE_COLUMNS = [
    ("Id", "integer"),
    ("Artist", "text"),
    ("Song", "text"),
    ("Date", "date"),
    ("Number of Plays", "integer"),
    ("Skips", "integer"),
    ("Seconds", "integer"),
    ("Country", "text"),
    ("Device", "text"),
    ("Released", "date"),
    ("Album", "text"),
    ("Comment", "text"),
]


@dataclass
class Kind:
    """A file as `tally generate` writes it, and the query on it."""

    name: str
    about: str
    shape: str = ""
    """`tally generate`'s name for it, where that is another one."""
    columns: list[tuple[str, str]] = field(default_factory=lambda: PLAYS_COLUMNS)
    keys: list[str] = field(default_factory=lambda: ["Song", "Date"])
    sums: dict[str, str] = field(
        default_factory=lambda: {"Number of Plays": "Total Number of Plays for Date"}
    )
    count: str | None = None
    newlines: bool = False
    """Whether quoted fields hold line breaks."""
    flags: list[str] = field(default_factory=list)
    """The query, as `tally count` and `tally submit` want it; empty for their default."""

    def query(self) -> dict:
        """The query, as the peers get it."""
        names = ("columns", "keys", "sums", "count", "newlines")
        return {name: getattr(self, name) for name in names}


KINDS = {
    kind.name: kind
    for kind in [
        Kind("low", "10,000 songs, some of them very popular (Zipf), × 365 dates"),
        Kind("high", "1 million songs, all alike, × 365 dates: nearly every row is a group of its own"),
        Kind("unique", "a new song in every row: every row is a group of its own"),
        Kind(
            "quoted",
            "as low, every field quoted, one song in five with delimiters, quotes or line breaks",
            newlines=True,
        ),
        Kind(
            "wide",
            "as low, in twelve columns; grouped by song and country, two sums and a count",
            columns=WIDE_COLUMNS,
            keys=["Song", "Country"],
            sums={"Number of Plays": "Total Plays", "Seconds": "Total Seconds"},
            count="Records",
            flags=["--group-by", "Song:text,Country:text", "--sum", "Number of Plays=Total Plays"]
            + ["--sum", "Seconds=Total Seconds", "--count", "Records"],
        ),
        Kind("small", "low, of 10 MB: what a command takes from start to end", shape="low"),
    ]
}
SMALL_SIZE = "10MB"
