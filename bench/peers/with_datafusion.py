"""The job as DataFusion does it: COPY of a query over a CSV with a declared schema.

It spills to disk where a fair share of the memory does not suffice.
"""

import datafusion
import pyarrow

import job as jobs

job = jobs.given()
types = {"text": pyarrow.string(), "date": pyarrow.date32(), "integer": pyarrow.int64()}
schema = pyarrow.schema(job.types(types).items())
config = datafusion.SessionConfig({
    "datafusion.execution.target_partitions": str(job.threads),
    "datafusion.catalog.newlines_in_values": str(job.newlines).lower(),
})
runtime = datafusion.RuntimeEnvBuilder().with_disk_manager_specified(job.scratch)
context = datafusion.SessionContext(config, runtime.with_fair_spill_pool(job.memory))
started = jobs.begin()
context.register_csv("source", job.source, schema=schema, has_header=True)
context.sql(
    f"""
    COPY (SELECT {job.select()} FROM source GROUP BY {job.by()} ORDER BY {job.by()})
    TO {jobs.text(job.target)} STORED AS CSV OPTIONS ('format.has_header' 'true')
    """
).collect()
jobs.end(started)
