"""The job as Dask does it: a LocalCluster of one process per thread.

The groups are spread over as many partitions as the input has (`split_out`), sorted, and written as one
file per partition; these files, which are in order, are concatenated.
"""

from pathlib import Path

import dask
import dask.dataframe
from distributed import Client, LocalCluster

import job as jobs


def main() -> None:
    job = jobs.given()
    dask.config.set({"temporary-directory": job.scratch})
    cluster = LocalCluster(
        n_workers=job.threads,
        threads_per_worker=1,
        memory_limit=job.memory // job.threads,
        dashboard_address=None,
    )
    with cluster, Client(cluster) as client:
        client.wait_for_workers(job.threads)
        started = jobs.begin()
        count(job)
        jobs.end(started, "one partition: its reader cuts at every line break" if job.newlines else "")


def count(job: jobs.Job) -> None:
    # A date stays text: ISO dates sort as text, and pandas would make objects of them.
    types = job.types({"text": "string[pyarrow]", "date": "string[pyarrow]", "integer": "int64"})
    rows = dask.dataframe.read_csv(
        job.source,
        dtype=types,
        # A block ends at a line break, even if that is within quotes.
        blocksize=None if job.newlines else 32 << 20,
    )
    if job.count:
        rows[job.count] = 1
    totals = [*job.sums, *([job.count] if job.count else [])]
    groups = rows.groupby(job.keys, sort=False)[totals].sum(split_out=rows.npartitions)
    # Sorting looks for its boundaries first, which would read and group everything once more.
    sorted_groups = groups.reset_index().persist().sort_values(job.keys)
    folder = Path(job.scratch) / "parts"
    sorted_groups.to_csv(
        str(folder / "part-*.csv"), index=False, header=False, name_function=lambda i: f"{i:06}"
    )
    jobs.concatenate(job, sorted(folder.iterdir()))


if __name__ == "__main__":
    main()
