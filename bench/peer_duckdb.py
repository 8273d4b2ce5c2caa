"""The job as DuckDB does it: python peer_duckdb.py INPUT OUTPUT THREADS SCRATCH.

Prints what the query took as JSON: starting Python and loading DuckDB is not counted.
"""

import json
import sys
import time

import duckdb

source, target, threads, scratch = sys.argv[1:]
quoted = {name: path.replace("'", "''") for name, path in [("source", source), ("target", target)]}
database = duckdb.connect()
database.execute(f"SET threads = {int(threads)}")
database.execute("SET temp_directory = ?", [scratch])
start, cpu = time.perf_counter(), time.process_time()
database.execute(
    """
    COPY (
        SELECT Song, Date, sum("Number of Plays") AS "Total Number of Plays for Date"
        FROM read_csv('{source}', header = true, delim = ',', quote = '"', escape = '"',
            columns = {{'Song': 'VARCHAR', 'Date': 'DATE', 'Number of Plays': 'BIGINT'}})
        GROUP BY Song, Date
        ORDER BY Song, Date
    ) TO '{target}' (FORMAT csv, HEADER true)
    """.format(**quoted)
)
print(json.dumps({"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}))
