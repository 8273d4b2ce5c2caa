"""The job as ClickHouse does it, embedded by chDB: file() in, file() out.

Sorting and grouping go to disk at half of the memory, as its documentation advises.
"""

import chdb

import job as jobs

job = jobs.given()
types = job.types({"text": "String", "date": "Date", "integer": "Int64"})
structure = ", ".join(f"`{name}` {kind}" for name, kind in types.items())
settings = {
    "max_threads": job.threads,
    "max_memory_usage": job.memory,
    "max_bytes_before_external_group_by": job.memory // 2,
    "max_bytes_before_external_sort": job.memory // 2,
    "engine_file_truncate_on_insert": 1,
}
connection = chdb.connect(":memory:")
started = jobs.begin()
connection.query(
    f"""
    INSERT INTO FUNCTION file({jobs.text(job.target)}, 'CSVWithNames')
    SELECT {job.select("`")}
    FROM file({jobs.text(job.source)}, 'CSVWithNames', {jobs.text(structure)})
    GROUP BY {job.by("`")} ORDER BY {job.by("`")}
    SETTINGS {", ".join(f"{name} = {value}" for name, value in settings.items())}
    """
)
jobs.end(started)
