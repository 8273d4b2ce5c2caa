"""Mixed load on a master, each answer compared with what Python has: called by soak.py within its network.

Jobs are submitted and their results compared, rows of a table are changed by batches of operations that are sent
again when a connection breaks, a table is imported over and over, and somebody looks at all of it meanwhile. What a
user would see as an error is one here: a command that fails, an answer that is neither 2xx nor a polite 503 or 429, a
total or row that is not what it has to be. That nobody answers for a while is none: a master may be restarted.
"""

import argparse
import csv
import gzip
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

# How long somebody goes on trying while no master answers, in seconds.
PATIENCE = 120.0
# The longest pause between two requests of one user, in seconds: the machine is to be busy, and not only with this.
PAUSE = 1.0
OPERATIONS = 200
ROWS = 50_000
# What the command ends with where no master answers at all: it may be started again.
UNREACHABLE = 5


class Load:
    """What all threads share."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.http, self.grpc, self.binary, self.folder = args.http, args.grpc, args.binary, Path(args.folder)
        self.headers = {"authorization": f"Bearer {os.environ['TALLY_API_KEY']}"}
        self.ends = time.monotonic() + args.minutes * 60
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        self.lock = threading.Lock()

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.ends and len(self.errors) < 20

    def count(self, what: str, by: int = 1) -> None:
        with self.lock:
            self.done[what] += by

    def fail(self, text: str) -> None:
        with self.lock:
            self.errors.append(f"{time.strftime('%H:%M:%S')} {text}")

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/json", method: str | None = None) -> bytes:
        """An answer; the same is asked again while nobody answers, or the master asks to be asked later."""
        began = time.monotonic()
        while True:
            headers = {"content-type": kind, **self.headers}
            request = urllib.request.Request(self.http + path, body, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.read()
            except urllib.error.HTTPError as error:
                why = f"{error.code} {error.read(500)!r}"
                if error.code not in (429, 503):
                    raise AssertionError(f"{path}: {why}") from error
                self.count("asked to come back")
            except (OSError, http.client.HTTPException) as error:
                why = repr(error)
                self.count("asked again")
            if time.monotonic() > began + PATIENCE:
                raise AssertionError(f"{path}: for {PATIENCE:.0f} s {why}")
            time.sleep(0.5)


def plays(path: Path, seed: int, rows: int) -> bytes:
    """Writes an input; gives what has to come of it."""
    rng = random.Random(seed)
    totals: Counter[tuple[str, str]] = Counter()
    songs = [f'Song "{n}", {rng.randrange(1000)}' if n % 7 == 0 else f"Song {n}" for n in range(rows // 20)]
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["Song", "Date", "Number of Plays"])
        for _ in range(rows):
            key = (rng.choice(songs), f"20{rng.randrange(10, 26)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}")
            plays = rng.randrange(1000)
            totals[key] += plays
            writer.writerow([*key, plays])
    with (path.parent / f"{path.name}.expected").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["Song", "Date", "Total Number of Plays for Date"])
        writer.writerows((*key, total) for key, total in sorted(totals.items(), key=lambda item: (item[0][0].encode(), item[0][1])))
    return Path(file.name).read_bytes()


def count_jobs(load: Load, number: int) -> None:
    rng = random.Random(number)
    inputs = []
    for size in (2_000, 60_000, 400_000):
        path = load.folder / f"plays-{number}-{size}.csv{'.gz' if size == 60_000 else ''}"
        inputs.append((path, plays(path, size + number, size), size))
    out = load.folder / f"totals-{number}.csv"
    while load.goes_on:
        path, expected, rows = rng.choice(inputs)
        command = [load.binary, "submit", path, "--wait", "-o", out, "--master", load.grpc]
        env = {name: os.environ[name] for name in ("PATH", "TALLY_API_KEY")} | {"HOME": "/nonexistent"}
        ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
        if ended.returncode == UNREACHABLE:
            load.count("asked again")
            time.sleep(0.5)
            continue
        if ended.returncode != 0:
            load.fail(f"submit {path.name}: {ended.stderr[-600:]}")
        elif out.read_bytes() != expected:
            load.fail(f"{path.name}: the totals are not those that Python has")
        load.count("jobs")
        load.count("records counted", rows)
        time.sleep(rng.random() * PAUSE)


def change_rows(load: Load, number: int) -> None:
    """Keys of our own, so that what has to be there is known here."""
    rng, has, message = random.Random(number), {}, 0
    before = ""
    while load.goes_on:
        lines = []
        for _ in range(OPERATIONS):
            message += 1
            key = f"{number}-{rng.randrange(2000)}"
            operation = {"message_id": f"soak-{number}-{message}", "key": [key]}
            if key not in has:
                has[key] = rng.randrange(1000)
                operation |= {"op": "add", "row": {"sku": key, "shop": f"shop {rng.randrange(50)}", "stock": has[key]}}
            elif rng.random() < 0.2:
                del has[key]
                operation |= {"op": "delete"}
            else:
                has[key] = rng.randrange(1000)
                operation |= {"op": "update", "row": {"stock": has[key]}}
            lines.append(json.dumps(operation))
        body = "\n".join(lines) + "\n"
        results = load.ask("/api/v1/tables/soak/operations", body.encode(), "application/x-ndjson").decode().splitlines()
        outcomes = Counter(json.loads(line)["outcome"] for line in results)
        if sum(outcomes.values()) != OPERATIONS or outcomes.keys() - {"added", "updated", "deleted", "unchanged"}:
            load.fail(f"operations: {dict(outcomes)}")
        if before and rng.random() < 0.1:
            again = load.ask("/api/v1/tables/soak/operations", before.encode(), "application/x-ndjson").decode().splitlines()
            if not all(json.loads(line)["repeated"] for line in again):
                load.fail("operations were applied a second time")
        before = body
        load.count("operations", OPERATIONS)
        time.sleep(rng.random() * PAUSE)
    rows = csv.DictReader(load.ask("/api/v1/tables/soak/data?format=csv").decode().splitlines())
    found = {row["sku"]: int(row["stock"]) for row in rows if row["sku"].startswith(f"{number}-")}
    if found != has:
        load.fail(f"rows of {number}: {len(found)} are there, {len(has)} should be, or they differ")


def import_table(load: Load) -> None:
    turn = 0
    while load.goes_on:
        turn += 1
        lines = ["name,sku,description"]
        lines += [f"product {n % 997},{n},what it is {n if n % 10 else turn}" for n in range(ROWS)]
        query = "table=products&preset=products&mode=merge"
        body = gzip.compress("\n".join(lines).encode(), 1)
        job = json.loads(load.ask(f"/api/v1/jobs?{query}", body, "text/csv"))["id"]
        while (view := json.loads(load.ask(f"/api/v1/jobs/{job}")))["state"] not in ("succeeded", "failed", "cancelled"):
            time.sleep(1)
        if view["state"] != "succeeded":
            load.fail(f"import: {view}")
        row = json.loads(load.ask("/api/v1/tables/products/rows/10"))
        if row["row"]["description"] != f"what it is {turn}":
            load.fail(f"import {turn}: {row}")
        load.count("rows imported", ROWS)
        time.sleep(10)


def look(load: Load, number: int) -> None:
    """Somebody who looks at this and that, and listens for a while."""
    rng = random.Random(number)
    while load.goes_on:
        what = rng.choice(["list", "rows", "aggregate", "metrics", "page", "events"])
        if what == "list":
            for job in json.loads(load.ask("/api/v1/jobs?limit=5"))["jobs"]:
                load.ask(f"/api/v1/jobs/{job['id']}")
        elif what == "rows":
            load.ask(f"/api/v1/tables/soak/rows?sort=stock&search={rng.randrange(100)}&limit=50")
        elif what == "aggregate":
            load.ask("/api/v1/tables/products/aggregates/products_by_name?limit=20", None) if rng.random() < 0.5 else None
        elif what == "metrics":
            load.ask("/metrics")
        elif what == "page":
            load.ask("/")
        else:
            try:
                asked = urllib.request.Request(load.http + "/api/v1/events", headers=load.headers)
                with urllib.request.urlopen(asked, timeout=10) as events:
                    for _ in range(40):
                        events.readline()
            except (OSError, http.client.HTTPException):
                load.count("listeners whose connection broke")
        load.count("looks")
        time.sleep(rng.random())


def guarded(load: Load, work, *args) -> None:
    try:
        work(load, *args)
    except Exception:
        load.fail(traceback.format_exc())


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("http", "grpc", "binary", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--minutes", type=float, required=True)
    load = Load(parser.parse_args())
    table = {
        "name": "soak",
        "key": ["sku"],
        "columns": [{"name": "sku", "kind": "text"}, {"name": "shop", "kind": "text"}, {"name": "stock", "kind": "integer"}],
        "aggregates": [{"name": "stock_by_shop", "group_by": "shop", "values": [{"name": "stock", "op": "sum", "column": "stock"}]}],
    }
    load.ask("/api/v1/tables", json.dumps(table).encode())
    load.ask("/api/v1/tables", b'{"preset":"products"}')
    work = [(count_jobs, 1), (count_jobs, 2), (change_rows, 1), (change_rows, 2), (import_table,), (look, 1), (look, 2)]
    threads = [threading.Thread(target=guarded, args=(load, *one)) for one in work]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(min(30, max(1, load.ends - time.monotonic())))
        print(json.dumps({"done": load.done, "errors": load.errors}), flush=True)
    for name in ("soak", "products"):
        said = json.loads(load.ask(f"/api/v1/tables/{name}/recount", b""))
        if not said["right"]:
            load.fail(f"recount of {name}: {said}")
        load.count("recounts")
    print(json.dumps({"done": load.done, "errors": load.errors, "ended": True}), flush=True)
    sys.exit(bool(load.errors))


main()
