"""The job as pyarrow does it: Acero streams a dataset into groups; the table of groups is sorted.

All groups are in memory: pyarrow does not go to disk.
"""

import os

import pyarrow
import pyarrow.csv
import pyarrow.dataset
from pyarrow.acero import AggregateNodeOptions, Declaration, ScanNodeOptions
from pyarrow.compute import field

import job as jobs

job = jobs.given()
pyarrow.set_cpu_count(job.threads)
# Offsets of 32 bits, those of string, end at 2 GB of text in one array.
text = pyarrow.large_string() if os.path.getsize(job.source) > 2e9 else pyarrow.string()
types = job.types({"text": text, "date": pyarrow.date32(), "integer": pyarrow.int64()})
format = pyarrow.dataset.CsvFileFormat(
    parse_options=pyarrow.csv.ParseOptions(newlines_in_values=job.newlines),
    convert_options=pyarrow.csv.ConvertOptions(column_types=types),
)
totals = [(column, "hash_sum", None, alias) for column, alias in job.sums.items()]
totals += [([], "hash_count_all", None, job.count)] if job.count else []
started = jobs.begin()
source = pyarrow.dataset.dataset(job.source, format=format)
columns = {name: field(name) for name in job.used()}
groups = Declaration.from_sequence([
    Declaration("scan", ScanNodeOptions(source, columns=columns)),
    Declaration("aggregate", AggregateNodeOptions(totals, keys=job.keys)),
])
table = groups.to_table().select(job.header()).sort_by([(key, "ascending") for key in job.keys])
pyarrow.csv.write_csv(table, job.target, pyarrow.csv.WriteOptions(quoting_style="needed"))
jobs.end(started)
