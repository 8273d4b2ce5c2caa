"""The job as Polars does it, streaming: python peer_polars.py INPUT OUTPUT THREADS SCRATCH.

Prints what the query took as JSON: starting Python and loading Polars is not counted.
"""

import json
import os
import sys
import time

source, target, threads, _scratch = sys.argv[1:]
os.environ["POLARS_MAX_THREADS"] = threads  # read when Polars is loaded

import polars  # noqa: E402

start, cpu = time.perf_counter(), time.process_time()
types = {"Song": polars.String, "Date": polars.Date, "Number of Plays": polars.Int64}
total = polars.col("Number of Plays").sum().alias("Total Number of Plays for Date")
(
    polars.scan_csv(source, schema=types)
    .group_by("Song", "Date")
    .agg(total)
    .sort("Song", "Date")
    .sink_csv(target, engine="streaming")
)
print(json.dumps({"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}))
