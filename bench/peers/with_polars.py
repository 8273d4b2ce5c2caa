"""The job as Polars does it: a lazy query on the streaming engine, from scan_csv to sink_csv."""

import os

import job as jobs

job = jobs.given()
os.environ["POLARS_MAX_THREADS"] = str(job.threads)  # read when Polars is loaded
os.environ["POLARS_TEMP_DIR"] = job.scratch

import polars  # noqa: E402

types = {"text": polars.String, "date": polars.Date, "integer": polars.Int64}
totals = [polars.col(column).sum().alias(alias) for column, alias in job.sums.items()]
totals += [polars.len().alias(job.count)] if job.count else []
started = jobs.begin()
(
    polars.scan_csv(job.source, schema=job.types(types))
    .group_by(job.keys)
    .agg(totals)
    .sort(job.keys)
    .sink_csv(job.target, engine="streaming")
)
jobs.end(started)
