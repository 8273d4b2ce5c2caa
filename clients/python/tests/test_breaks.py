"""The client when things break: connections in the middle of uploads, downloads and waits, the master itself."""

import hashlib
import subprocess
import sys
import threading

import pytest

from breaking import BreakingProxy
from tally import Client, TallyError
from tally.upload import RESUMABLE


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def proxy(cluster):
    made = []

    def make(limits):
        made.append(BreakingProxy(cluster.http, limits))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_submission_whose_connection_breaks_is_counted_once(cluster, proxy):
    plays = cluster.generate("5MB").read_bytes()
    direct = Client(cluster.http).submit(plays)
    # Cut off while it is sent; then before its answer comes, when the master has taken it all.
    way = proxy(lambda number: [(1 << 20, None), (None, 1), (None, None)][min(number, 2)])
    job = Client(way.url).submit(plays, name="broke off twice")
    assert way.cut == 2
    assert job.wait().result.sha256 == direct.wait().result.sha256
    named = [one.view for one in Client(cluster.http).jobs() if one.view.name == "broke off twice"]
    # The upload that broke off failed, and was not counted; the answer that was lost was not asked for twice.
    assert sorted(one.state for one in named if not one.input_lost) == ["succeeded"]


def test_a_large_submission_goes_on_where_it_broke_off(cluster, proxy):
    path = cluster.generate("40MB")
    assert path.stat().st_size >= RESUMABLE
    direct = Client(cluster.http).submit(path)
    way = proxy(lambda number: (9 << 20, None) if number < 4 else (None, None))
    sent = []
    job = Client(way.url).submit(path, name="in pieces", progress=lambda *told: sent.append(told))
    assert way.cut >= 1
    assert job.wait().result.sha256 == direct.wait().result.sha256
    named = [one for one in Client(cluster.http).jobs() if one.view.name == "in pieces"]
    assert [one.id for one in named] == [job.id]
    # What had arrived was not sent again.
    assert sent[-1] == (path.stat().st_size,) * 2
    assert len(sent) * (1 << 20) < 2 * path.stat().st_size


def test_a_large_submission_whose_first_answer_is_lost(cluster, proxy):
    path = cluster.generate("40MB")
    way = proxy(lambda number: (None, 1) if number == 0 else (None, None))
    job = Client(way.url).submit(path, name="opened once")
    job.wait()
    assert [one.id for one in Client(cluster.http).jobs() if one.view.name == "opened once"] == [job.id]


def test_an_input_that_can_not_be_read_again_is_not_half_counted(cluster, proxy):
    plays = cluster.generate("5MB").read_bytes()
    way = proxy(lambda number: (1 << 20, None))
    with pytest.raises(TallyError):
        Client(way.url).submit(plays[at : at + 65536] for at in range(0, len(plays), 65536))
    assert way.connections == 1


def test_a_download_goes_on_where_it_broke_off(cluster, proxy, tmp_path):
    job = Client(cluster.http).submit(cluster.generate("5MB", "high"))
    result = job.wait().result
    assert result.bytes > 3 << 20
    way = proxy(lambda number: (None, 1 << 20) if number < 3 else (None, None))
    # The first connection asks for the job.
    remote = Client(way.url).job(job.id)
    remote.result(tmp_path / "out.csv")
    assert way.cut >= 2
    assert sha256((tmp_path / "out.csv").read_bytes()) == result.sha256
    assert sum(1 for _ in Client(cluster.http).job(job.id).rows()) == result.rows


def test_a_download_that_stays_broken_leaves_no_file(cluster, proxy, tmp_path):
    job = Client(cluster.http).submit(cluster.generate("5MB", "high"))
    job.wait()
    way = proxy(lambda number: (None, 20_000))
    remote = Client(way.url, retry_for=0.3).job(job.id)
    (tmp_path / "out.csv").write_text("old")
    # It gets a little further with every connection, and is stopped by the thread below.
    threading.Timer(1.0, way.close).start()
    with pytest.raises(TallyError):
        remote.result(tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert (tmp_path / "out.csv").read_text() == "old"


def test_a_wait_outlives_a_restart_of_the_master(start_cluster):
    cluster = start_cluster(slaves=0)
    job = Client(cluster.http).submit(cluster.generate("5MB"))
    states, seen = [], threading.Event()

    def tell(view):
        states.append(view.state)
        seen.set()

    ended = []
    waiting = threading.Thread(target=lambda: ended.append(job.wait(progress=tell)))
    waiting.start()
    assert seen.wait(60)
    cluster.restart_master(kill=True)
    cluster.restart_master()
    cluster.add_slave()
    waiting.join(120)
    assert [view.state for view in ended] == ["succeeded"]
    assert states[0] == "running" and states[-1] == "succeeded"


def test_a_wait_for_a_job_that_is_deleted_ends(start_cluster):
    cluster = start_cluster(slaves=0)
    client = Client(cluster.http)
    job = client.submit(b"Song,Date,Number of Plays\nA,2020-02-01,1\n")
    seen = threading.Event()
    caught = []

    def wait():
        try:
            job.wait(progress=lambda _: seen.set())
        except TallyError as error:
            caught.append(error.status)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert seen.wait(60)
    client.job(job.id).delete()
    waiting.join(120)
    assert len(caught) == 1 and caught[0] in (404, 410)


def test_a_large_result_is_not_held_in_memory(cluster):
    job = Client(cluster.http).submit(cluster.generate("60MB", "unique"))
    result = job.wait().result
    assert result.bytes > 50 << 20
    script = """
import resource, sys, tally
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(1 for _ in tally.Client(sys.argv[1]).job(sys.argv[2]).rows())
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    ran = subprocess.run([sys.executable, "-c", script, cluster.http, job.id], capture_output=True, text=True, check=True)
    rows, grown = map(int, ran.stdout.split())
    assert rows == result.rows
    assert grown < result.bytes / 2, f"{grown} bytes more for a result of {result.bytes}"
