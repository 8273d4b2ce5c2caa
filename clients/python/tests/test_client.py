"""The client against a real cluster: what it submits, waits for, reads and removes."""

import csv
import datetime
import gzip
import io
import os
import threading
from collections import Counter

import pytest

import tally
from tally import Aggregate, Client, Column, JobFailed, Spec, TallyError

SEED = b"Song,Date,Number of Plays\nB,2020-02-01,1\nA,2020-02-01,2\nA,2020-02-01,3\nA,2020-01-31,4\n"
TOTALS = b"Song,Date,Total Number of Plays for Date\nA,2020-01-31,4\nA,2020-02-01,5\nB,2020-02-01,1\n"
ROWS = [
    ("A", datetime.date(2020, 1, 31), 4),
    ("A", datetime.date(2020, 2, 1), 5),
    ("B", datetime.date(2020, 2, 1), 1),
]


@pytest.fixture
def client(cluster):
    return Client(cluster.http)


def test_count_gives_rows(cluster, tmp_path):
    path = tmp_path / "seed.csv"
    path.write_bytes(SEED)
    rows = tally.count(path, url=cluster.http)
    assert rows.columns == ["Song", "Date", "Total Number of Plays for Date"]
    assert list(rows) == ROWS
    with open(path, "rb") as file:
        assert list(tally.count(file, url=cluster.http)) == ROWS
    assert list(tally.count(SEED, url=cluster.http)) == ROWS


def test_count_writes_a_file(cluster, tmp_path):
    out = tmp_path / "totals.csv"
    out.write_text("old")
    job = tally.count(SEED, url=cluster.http, out=out, name="to a file")
    assert out.read_bytes() == TOTALS
    assert job.name == "to a file" and job.result.rows == 3
    assert os.listdir(tmp_path) == ["totals.csv"]
    umask = os.umask(0)
    os.umask(umask)
    assert out.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_job_from_submission_to_deletion(client):
    job = client.submit(SEED, name="night shift", priority="high", keep_input=True)
    seen = []
    view = job.wait(progress=seen.append)
    assert view.state == "succeeded" and view.name == "night shift" and view.priority == "high"
    assert seen[-1] == view and view.ended
    assert view.receipt.records == view.receipt.counted == 4
    assert view.receipt.bytes == len(SEED)
    assert view.result.totals == [tally.views.Total("Total Number of Plays for Date", 10)]
    assert view.opened_at <= view.ended_at <= datetime.datetime.now(datetime.timezone.utc)
    assert job.result() == TOTALS
    with job.open() as stream:
        assert stream.readline() == b"Song,Date,Total Number of Plays for Date\n"
    assert list(job.rows()) == ROWS
    assert next(job.rows().dicts())["Song"] == "A"
    assert list(job.rejects()) == []
    assert job.input().read() == SEED
    receipt = job.receipt()
    assert receipt.job == job.id and receipt.total == view.receipt
    assert sum(task.answer.counted for task in receipt.tasks) == 4
    assert client.job(job.id).view == view
    # One that has ended can not be cancelled, and that is no error.
    assert job.cancel().state == "succeeded"
    job.delete()
    job.delete()
    with pytest.raises(TallyError) as caught:
        client.job(job.id)
    assert caught.value.status in (404, 410)
    with pytest.raises(TallyError):
        job.wait()


def test_the_specs_are_those_of_the_master(client, cluster):
    sales = b"Shop,Article,Price\nx,1,5\nx,01,-7\ny,2,9\n"
    options = {"group_by": ["Shop", "Article:integer"], "sum": "Price", "min": "Price=least", "count": "n"}
    job = client.submit(sales, **options)
    assert list(job.wait() and job.rows()) == [("x", 1, -2, -7, 2), ("y", 2, 9, 9, 1)]
    # The same said by parameters, whose defaults the master fills in.
    query = "group_by=Shop,Article:integer&sum=Price&min=Price%3Dleast&count=n"
    plain = cluster.submit(sales, query)
    assert job.view.spec.to_json() == Spec.from_json(plain["spec"]).to_json() == Spec.of(**options).to_json()
    for preset in ("plays", "products"):
        body = SEED if preset == "plays" else b"name\na\n"
        plain = cluster.submit(body, f"preset={preset}")
        assert Spec.preset(preset).to_json() == Spec.from_json(plain["spec"]).to_json()


def test_names_of_all_sorts(client, tmp_path):
    names = ["Comma, the", 'the "quoted"', "Ünïcödé 歌", "line\nbreak", "", " spaces ", "lone\rCR", "nul\0", "'", "=1+1"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["Name, full", "Number \"n\" = 1"])
    writer.writerows([name, number] for number, name in enumerate(names))
    spec = Spec([Column("Name, full")], [Aggregate("sum", 'Number "n" = 1', "Total, of ünï")])
    path = tmp_path / 'pläys, "new" 歌&=?#%.csv'
    path.write_bytes(text.getvalue().encode())
    job = client.submit(path, spec=spec)
    assert job.wait().name == path.name
    rows = job.rows()
    assert rows.columns == ["Name, full", "Total, of ünï"]
    assert dict(rows) == {name: number for number, name in enumerate(names)}
    assert set(job.to_arrow().column("Name, full").to_pylist()) == set(names)


def test_compressed_piped_and_pieced_inputs(client):
    assert list(client.count(gzip.compress(SEED))) == ROWS
    assert list(client.count(SEED[at : at + 7] for at in range(0, len(SEED), 7))) == ROWS
    read, write = os.pipe()
    with os.fdopen(write, "wb") as end:
        end.write(SEED)
    with os.fdopen(read, "rb") as end:
        assert list(client.count(end)) == ROWS


def test_bad_input_is_an_error_that_says_why(client):
    with pytest.raises(TallyError) as caught:
        client.submit(b"Song,Date\nA,2020-02-01\n")
    problem = caught.value.problem
    assert problem.kind == "bad-input" and problem.status == 422 and "Number of Plays" in str(caught.value)
    assert client.job(caught.value.job).state == "failed"
    bad = SEED + b"C,2020-02-01,many\n"
    job = client.submit(bad)
    with pytest.raises(JobFailed, match="many|Number of Plays") as failed:
        job.wait()
    assert failed.value.view.rejects[0].line == 6 and failed.value.job == job.id
    assert job.wait(check=False).state == "failed"
    with pytest.raises(TallyError) as caught:
        job.result()
    assert caught.value.kind == "job-state"
    with pytest.raises(TallyError) as caught:
        client.submit(SEED, group_by="Song", sum="")
    assert caught.value.kind == "bad-spec"


def test_rejects_and_their_repair(client):
    bad = SEED + b"C,2020-02-01,many\ncaf\xe9,2020-02-01,1\n"
    job = client.submit(bad, max_rejects=10)
    job.wait()
    first, second = job.rejects()
    assert (first.line, first.column, first.record) == (6, "Number of Plays", b"C,2020-02-01,many")
    assert second.record == b"caf\xe9,2020-02-01,1"
    assert bad[second.byte_offset :].startswith(second.record)
    repair = job.repair(b"Song,Date,Number of Plays\nC,2020-02-01,7\n")
    assert repair.wait().repairs == job.id
    assert job.refresh().repaired_by == repair.id
    assert ("C", datetime.date(2020, 2, 1), 7) in list(job.rows())


def test_frames(client):
    job = client.submit(SEED)
    job.wait()
    table = job.to_arrow()
    assert table.num_rows == 3 and table.column_names[0] == "Song"
    assert [tuple(row.values()) for row in table.to_pylist()] == ROWS
    frame = job.to_pandas()
    assert frame["Total Number of Plays for Date"].sum() == 10
    assert frame["Date"].dtype.kind == "M"
    polars = job.to_polars()
    assert polars.height == 3 and polars["Date"].dtype.is_temporal()
    assert polars.rows() == ROWS


def test_looks(client):
    job = client.submit(SEED)
    job.wait()
    look = job.look(limit=2)
    assert look.rows == [["A", "2020-01-31", "4"], ["A", "2020-02-01", "5"]]
    assert (look.columns[0], look.next_offset, look.total_rows, look.coverage) == ("Song", 2, 3, None)
    assert job.look(offset=look.next_offset).rows == [["B", "2020-02-01", "1"]]
    assert job.look(prefix="B").rows == [["B", "2020-02-01", "1"]]
    assert job.look(where={"song": "A", "DATE": "2020-02-01"}).rows == [["A", "2020-02-01", "5"]]


def test_an_input_is_looked_at_before_it_is_counted(client, tmp_path):
    path = tmp_path / "only looked at.csv"
    path.write_bytes(SEED)
    found = client.preflight(path)
    assert found.ok and found.sample.whole and found.sample.records == 4
    assert found.prediction.records == 4 and found.prediction.groups == 3
    assert [column.name for column in found.columns] == ["Song", "Date", "Number of Plays"]
    assert not [job for job in client.jobs() if job.view.name == "only looked at.csv"]
    wrong = client.preflight(SEED, group_by="Shop", sum="Price")
    assert not wrong.ok and wrong.problems
    with pytest.raises(ValueError, match="only once"):
        client.preflight(iter([SEED]))


def test_lists(client, monkeypatch):
    opened = [client.submit(SEED, name=f"listed {number}") for number in range(3)]
    for job in opened:
        job.wait()
    ids = [job.id for job in client.jobs()]
    assert [id for id in ids if id in {job.id for job in opened}] == [job.id for job in reversed(opened)]
    # The same in small pages, and only some of them.
    monkeypatch.setattr(tally.client, "PAGE", 2)
    assert [job.id for job in client.jobs()] == ids
    assert [job.id for job in client.jobs(name="LISTED", order="asc")] == [job.id for job in opened]
    assert [job.id for job in client.jobs(name="listed 1", state=["succeeded", "failed"])] == [opened[1].id]
    assert list(client.jobs(name="listed", state="running")) == []
    since = opened[1].view.opened_at
    assert [job.id for job in client.jobs(name="listed", opened_from=since)] == [opened[2].id, opened[1].id]
    assert [job.id for job in client.jobs(name="listed", opened_before=since)] == [opened[0].id]
    with pytest.raises(TallyError) as caught:
        list(client.jobs(state="sleeping"))
    assert caught.value.kind == "bad-request"
    assert client.health()["status"] == "ok"
    assert sorted(slave.name for slave in client.slaves()) == ["slave-0", "slave-1"]


def test_a_key_is_of_one_submission(client):
    first = client.submit(SEED, key="a-key-of-mine")
    assert client.submit(SEED, key="a-key-of-mine").id == first.id
    with pytest.raises(TallyError) as caught:
        client.submit(SEED + b"D,2020-02-01,1\n", key="a-key-of-mine")
    assert caught.value.kind == "key-reused"
    assert client.submit(SEED).id != first.id


def test_count_can_leave_nothing_behind(client):
    rows = client.count(SEED, name="to be forgotten", delete=True)
    assert list(rows) == ROWS
    assert not [job for job in client.jobs() if job.view.name == "to be forgotten"]


def test_a_job_that_does_not_end_in_time(start_cluster):
    client = Client(start_cluster(slaves=0).http)
    job = client.submit(SEED)
    with pytest.raises(TimeoutError, match=job.id):
        job.wait(timeout=0.3)
    assert not job.refresh().ended
    threading.Timer(0.1, job.cancel).start()
    with pytest.raises(JobFailed, match="cancelled"):
        job.wait()


def test_no_master_is_an_error_that_says_so():
    client = Client("http://127.0.0.1:9", retry_for=0.1)
    for ask in (client.slaves, lambda: list(client.jobs()), lambda: client.submit(SEED), lambda: client.job("x")):
        with pytest.raises(tally.Unreachable, match="127.0.0.1:9"):
            ask()
    for url in ("127.0.0.1:8080", "ftp://x", "http://x/?a=b"):
        with pytest.raises(ValueError):
            Client(url)


def test_a_client_for_many_threads(client):
    names = [f"thread {number}" for number in range(16)]
    found = Counter()

    def work(name):
        found[list(client.count(SEED, name=name)) == ROWS] += 1

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {True: 16}
