"""The job as Spark does it: `local-cluster`, a driver and one executor process per thread.

Its sorted result is one file per partition, in order; they are concatenated.
"""

import os
import sys
from pathlib import Path

import pyspark
from pyspark.sql import SparkSession, functions
from pyspark.sql.types import DateType, LongType, StringType, StructField, StructType

import job as jobs

# The least that local-cluster gives to an executor is 1 GB, Spark's own default.
EXECUTOR_MOST = 4096
"""MB; a larger heap would be filled with garbage that need not stay."""


def session(job: jobs.Job) -> tuple[SparkSession, str]:
    """A cluster if one can be had, else threads in one process; and which it is."""
    os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    memory = max(1024, min(EXECUTOR_MOST, job.memory // 1_000_000 // (job.threads + 2)))
    masters = [f"local-cluster[{job.threads},1,{memory}]", f"local[{job.threads}]"]
    for master in masters:
        try:
            return start(job, master, memory), master
        except Exception as error:  # whatever the JVM says
            print(f"{master}: {error}", file=sys.stderr)
    raise SystemExit("Spark does not start")


def start(job: jobs.Job, master: str, memory: int) -> SparkSession:
    spark = (
        SparkSession.builder.master(master)
        .appName("bench")
        .config("spark.driver.memory", f"{memory}m")
        .config("spark.executor.memory", f"{memory}m")
        .config("spark.executor.cores", "1")
        .config("spark.local.dir", job.scratch)
        .config("spark.sql.shuffle.partitions", str(4 * job.threads))
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    spark.range(1).count()  # the executors are up when this is
    return spark


def count(spark: SparkSession, job: jobs.Job) -> None:
    types = job.types({"text": StringType(), "date": DateType(), "integer": LongType()})
    schema = StructType([StructField(name, kind) for name, kind in types.items()])
    csv = {"quote": '"', "escape": '"'}
    exact = {"ignoreLeadingWhiteSpace": False, "ignoreTrailingWhiteSpace": False}
    rows = spark.read.csv(
        job.source, schema, header=True, multiLine=job.newlines, mode="FAILFAST", **csv, **exact
    )
    totals = [functions.sum(f"`{column}`").alias(alias) for column, alias in job.sums.items()]
    totals += [functions.count("*").alias(job.count)] if job.count else []
    folder = Path(job.scratch) / "parts"
    groups = rows.groupBy(*job.keys).agg(*totals).orderBy(*job.keys)
    groups.write.csv(str(folder), header=False, **csv, **exact)
    jobs.concatenate(job, sorted(folder.glob("part-*")))


def main() -> None:
    job = jobs.given()
    spark, master = session(job)
    started = jobs.begin()
    count(spark, job)
    note = "one task reads all: with line breaks in fields it does not split a file" if job.newlines else ""
    jobs.end(started, "; ".join(part for part in (master, note) if part))
    spark.stop()


if __name__ == "__main__":
    main()
