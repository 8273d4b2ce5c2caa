"""The job as pyarrow does it: a dataset, read in batches, then group_by and sort_by on a table.

The columns that are needed are in memory as a whole: pyarrow does not go to disk.
"""

import os

import pyarrow
import pyarrow.csv
import pyarrow.dataset

import job as jobs

job = jobs.given()
pyarrow.set_cpu_count(job.threads)
# Offsets of 32 bits, those of string, end at 2 GB of text in one array.
text = pyarrow.large_string() if os.path.getsize(job.source) > 2e9 else pyarrow.string()
types = job.types({"text": text, "date": pyarrow.date32(), "integer": pyarrow.int64()})
format = pyarrow.dataset.CsvFileFormat(
    parse_options=pyarrow.csv.ParseOptions(newlines_in_values=job.newlines),
    convert_options=pyarrow.csv.ConvertOptions(column_types=types),
    read_options=pyarrow.csv.ReadOptions(block_size=8 << 20),
)
totals = [(column, "sum") for column in job.sums]
totals += [([], "count_all")] if job.count else []
started = jobs.begin()
table = pyarrow.dataset.dataset(job.source, format=format).to_table(columns=job.used())
table = table.group_by(job.keys).aggregate(totals)
table = table.sort_by([(key, "ascending") for key in job.keys]).rename_columns(job.header())
pyarrow.csv.write_csv(table, job.target, pyarrow.csv.WriteOptions(quoting_style="needed"))
jobs.end(started)
