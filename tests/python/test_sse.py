"""Server-sent events: of one job and of the cluster, taken up again, by many at once."""

import asyncio
import json

import aiohttp
import pytest
import requests
from tally_cluster import PATIENCE, eventually

SEED = b"Song,Date,Number of Plays\nA,2020-02-01,2\nA,2020-02-01,3\n"


class Stream:
    """An open stream. Iterating gives (event, id, data) as they come, to the stream's end."""

    def __init__(self, url, last=None, query=""):
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        self.answer = requests.get(url + query, headers=headers, stream=True, timeout=PATIENCE)
        self.status = self.answer.status_code
        self._events = self._read()

    def __iter__(self):
        return self._events

    def _read(self):
        name, id, data = None, None, None
        for line in self.answer.iter_lines(chunk_size=1):
            if not line:
                if data is not None:
                    yield name, id, json.loads(data)
                name, data = None, None
                continue
            key, _, value = line.decode().partition(": ")
            if key == "event":
                name = value
            elif key == "id":
                id = value
            elif key == "data":
                assert data is None
                data = value

    def until(self, wanted):
        """The next event that `wanted` is true of."""
        for event in self:
            if wanted(event):
                return event
        raise AssertionError("the stream ended before")

    def __enter__(self):
        assert self.status == 200, self.answer.text
        assert self.answer.headers["content-type"].startswith("text/event-stream")
        assert self.answer.headers["cache-control"] == "no-store"
        return self

    def __exit__(self, *_):
        self.answer.close()


def test_a_job_is_told_up_to_its_end(start_cluster):
    cluster = start_cluster(slaves=0)
    job = cluster.submit(SEED)["id"]
    url = f"{cluster.http}/api/v1/jobs/{job}/events"
    with Stream(url) as stream:
        events = iter(stream)
        name, first, view = next(events)
        assert (name, view["id"], view["state"]) == ("job", job, "running")
        cluster.add_slave()
        rest = list(events)
    assert [name for name, _, _ in rest[:-1]] == ["job"] * (len(rest) - 1)
    name, last, view = rest[-1]
    assert name == "end" and view == cluster.json(f"/api/v1/jobs/{job}") and view["state"] == "succeeded"
    # Who knows of the end need not come again; who does not is told at once.
    assert Stream(url, last).status == 204
    assert Stream(url, query=f"?last_event_id={last}").status == 204
    with Stream(url, first) as stream:
        assert [name for name, _, _ in stream] == ["end"]
    with Stream(url) as stream:
        assert [name for name, _, _ in stream] == ["end"]


def test_a_job_that_is_not_there(cluster):
    assert Stream(f"{cluster.http}/api/v1/jobs/0190d3a0-0000-7000-8000-000000000000/events").status == 404
    assert Stream(f"{cluster.http}/api/v1/jobs/x/events").status == 404
    job = cluster.submit(SEED)["id"]
    cluster.ended(job)
    requests.delete(f"{cluster.http}/api/v1/jobs/{job}", timeout=PATIENCE)
    answer = Stream(f"{cluster.http}/api/v1/jobs/{job}/events").answer
    assert answer.status_code == 410 and answer.json()["type"].endswith("#deleted")


def test_the_deletion_of_a_job_ends_its_stream(start_cluster):
    cluster = start_cluster(slaves=0)
    job = cluster.submit(SEED)["id"]
    with Stream(f"{cluster.http}/api/v1/jobs/{job}/events") as stream:
        events = iter(stream)
        next(events)
        requests.delete(f"{cluster.http}/api/v1/jobs/{job}", timeout=PATIENCE)
        # It is cancelled, and then removed: either is its end.
        assert list(events)[-1][0] in ("end", "deleted")


def test_a_job_that_is_repaired_is_told_as_it_is_from_then_on(cluster):
    job = cluster.submit(SEED + b"B,2020-02-01,many\n")["id"]
    assert cluster.ended(job)["state"] == "failed"
    with Stream(f"{cluster.http}/api/v1/events") as stream:
        url = f"{cluster.http}/api/v1/jobs/{job}/repairs"
        answer = requests.post(url, data=b"Song,Date,Number of Plays\nB,2020-02-01,7\n", timeout=PATIENCE)
        assert answer.status_code == 202, answer.text
        _, _, told = stream.until(lambda event: event[0] == "job" and event[2]["id"] == job)
    assert told["repaired_by"] == answer.json()["id"] and told["state"] == "succeeded"


def test_the_cluster_is_told_from_the_snapshot_on(cluster):
    with Stream(f"{cluster.http}/api/v1/events") as stream:
        events = iter(stream)
        name, id, snapshot = next(events)
        assert name == "snapshot" and "-" in id
        assert snapshot["cluster"]["counts"]["slaves"] == 2 and len(snapshot["slaves"]) == 2
        job = cluster.submit(SEED)["id"]
        states = []
        for name, _, data in events:
            if name == "job" and data["id"] == job:
                states.append(data["state"])
                if data["state"] == "succeeded":
                    break
            else:
                assert name in ("job", "cluster", "slaves")
        order = ["receiving", "running", "merging", "succeeded"]
        assert states == sorted(states, key=order.index) and states[-1] == "succeeded"
        requests.delete(f"{cluster.http}/api/v1/jobs/{job}", timeout=PATIENCE)
        assert stream.until(lambda event: event[0] == "deleted")[2] == {"id": job}
        assert stream.until(lambda event: event[0] == "cluster")[2]["counts"]["slaves"] == 2


@pytest.mark.parametrize("by", ["header", "query"])
def test_what_was_missed_is_told_to_who_comes_back(cluster, by):
    url = f"{cluster.http}/api/v1/events"

    def again(last):
        return Stream(url, last) if by == "header" else Stream(url, query=f"?last_event_id={last}")

    with Stream(url) as stream:
        name, last, _ = next(iter(stream))
        assert name == "snapshot"
    job = cluster.submit(SEED)["id"]
    cluster.ended(job)
    with again(last) as stream:
        name, id, data = next(iter(stream))
        assert name == "job" and data["id"] == job and id != last
        while data["state"] != "succeeded":
            name, id, data = stream.until(lambda event: event[0] == "job")
            assert data["id"] == job
    with again(id) as stream:
        # Nothing twice.
        assert next(iter(stream))[0] in ("cluster", "slaves")
    for strange in ["0-0", "nonsense", f"{int(last.split('-')[0], 16) + 1:x}-1", f"{last.split('-')[0]}-99999999999"]:
        with again(strange) as stream:
            assert next(iter(stream))[0] == "snapshot", strange


def test_who_comes_back_to_another_master_gets_a_snapshot(start_cluster):
    cluster = start_cluster(slaves=1)
    url = f"{cluster.http}/api/v1/events"
    job = cluster.submit(SEED)["id"]
    cluster.ended(job)
    for kill in [False, True]:
        with Stream(url) as stream:
            _, last, _ = next(iter(stream))
            cluster.stop_master(kill)
            # The stream ends with its master, and holds up nothing.
            try:
                list(stream)
            except requests.RequestException:
                assert kill
        assert not [line for line in cluster.master.said if "still under way" in line]
        cluster.start_master()
        with Stream(url, last) as stream:
            name, _, snapshot = next(iter(stream))
            assert name == "snapshot" and [job["id"] for job in snapshot["jobs"]] == [job]
        with Stream(f"{cluster.http}/api/v1/jobs/{job}/events") as stream:
            assert [name for name, _, _ in stream] == ["end"]


def test_many_listeners_all_hear_the_end(start_cluster):
    cluster = start_cluster(slaves=0)
    job = cluster.submit(cluster.generate("5MB").read_bytes())["id"]
    listeners, ready = 200, []

    async def listen(session, number):
        of_job = number % 2 == 0
        url = f"{cluster.http}/api/v1/jobs/{job}/events" if of_job else f"{cluster.http}/api/v1/events"
        name, begun = None, False
        async with session.get(url) as answer:
            assert answer.status == 200
            async for line in answer.content:
                if line.startswith(b"event: "):
                    name = line[7:].strip().decode()
                elif line.startswith(b"data: "):
                    if not begun:
                        begun = True
                        ready.append(number)
                    data = json.loads(line[6:])
                    if name == "end" or (name == "job" and data["id"] == job and data["state"] == "succeeded"):
                        return name, data["result"]["sha256"]

    async def all_of_them():
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=1 << 22) as session:
            tasks = [asyncio.create_task(listen(session, number)) for number in range(listeners)]
            while len(ready) < listeners and not any(task.done() for task in tasks):
                await asyncio.sleep(0.02)
            cluster.add_slave()
            return await asyncio.gather(*tasks)

    ends = asyncio.run(all_of_them())
    sha256 = cluster.ended(job)["result"]["sha256"]
    assert ends == [("end" if number % 2 == 0 else "job", sha256) for number in range(listeners)]
    # They have left no trace.
    eventually("the listeners to be gone", lambda: cluster.get("/healthz").status_code == 200)
