"""The job as DuckDB does it: one COPY of a query over read_csv, with every type declared.

`preserve_insertion_order` is off, as its performance guide advises: the result is sorted anyway.
"""

import duckdb

import job as jobs

job = jobs.given()
database = duckdb.connect()
database.execute(f"SET threads = {job.threads}")
database.execute(f"SET memory_limit = '{job.memory // 1_000_000}MB'")
database.execute(f"SET temp_directory = {jobs.text(job.scratch)}")
database.execute("SET preserve_insertion_order = false")
types = job.types({"text": "VARCHAR", "date": "DATE", "integer": "BIGINT"})
columns = ", ".join(f"{jobs.text(name)}: '{kind}'" for name, kind in types.items())
started = jobs.begin()
database.execute(
    f"""
    COPY (
        SELECT {job.select()}
        FROM read_csv({jobs.text(job.source)}, header = true, auto_detect = false,
            delim = ',', quote = '"', escape = '"', columns = {{{columns}}})
        GROUP BY {job.by()} ORDER BY {job.by()}
    ) TO {jobs.text(job.target)} (FORMAT csv, HEADER true)
    """
)
jobs.end(started)
