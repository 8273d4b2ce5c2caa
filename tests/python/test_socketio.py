"""Socket.IO as its own clients for Python speak it, over both transports: what is told of jobs, what `watch`
leaves out, and what becomes of it all when the master stops, or somebody does not keep to the protocol."""

import asyncio
import contextlib
import json
import queue
import socket
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import socketio
from tally_cluster import PATIENCE, eventually

SEED = b"Song,Date,Number of Plays\nA,2020-02-01,2\nA,2020-02-01,3\n"
EVENTS = ["snapshot", "job", "end", "deleted", "slaves", "cluster", "problem"]

transports = pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="+".join)


class Ear:
    """A client that listens, without asyncio. Keeps all that it hears."""

    def __init__(self, url, transports, **how):
        self.heard, self.all = queue.Queue(), []
        self.client = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.5, **how)
        for event in EVENTS:
            self.client.on(event, lambda data, event=event: self._hear(event, data))
        self.client.connect(url, transports=transports)

    def _hear(self, event, data):
        self.all.append((event, data))
        self.heard.put((event, data))

    def until(self, wanted, what):
        """The next event that `wanted` is true of."""
        deadline = time.monotonic() + PATIENCE
        while True:
            left = deadline - time.monotonic()
            assert left > 0, f"waited in vain for {what}"
            with contextlib.suppress(queue.Empty):
                event, data = self.heard.get(timeout=left)
                if wanted(event, data):
                    return data

    def names(self):
        return {event for event, _ in self.all}


@pytest.fixture
def listen(cluster):
    ears = []

    def listen(transports=("websocket",), url=None, **how):
        ears.append(Ear(url or cluster.http, list(transports), **how))
        return ears[-1]

    yield listen
    for ear in ears:
        ear.client.disconnect()


def is_job(job, *states):
    return lambda event, data: event in ("job", "end") and data["id"] == job and data["state"] in states


@transports
def test_a_job_is_seen_from_the_snapshot_to_its_end(cluster, listen, transports):
    ear = listen(transports)
    snapshot = ear.until(lambda event, _: event == "snapshot", "the snapshot")
    assert ear.all[0][0] == "snapshot"
    assert [slave["name"] for slave in snapshot["slaves"]] == ["slave-0", "slave-1"]
    assert snapshot["cluster"]["counts"]["slaves"] == 2
    job = cluster.submit(SEED, "name=Se%C3%A4l%20%22%F0%9F%8E%B5%22")
    ended = ear.until(is_job(job["id"], "succeeded"), "the job to succeed")
    assert ended == cluster.json(f"/api/v1/jobs/{job['id']}")
    assert ended["name"] == 'Seäl "🎵"'
    ear.until(lambda event, data: event == "cluster" and data["counts"]["slaves"] == 2, "the cluster")
    requests.delete(f"{cluster.http}/api/v1/jobs/{job['id']}", timeout=PATIENCE)
    ear.until(lambda event, data: event == "deleted" and data == {"id": job["id"]}, "the deletion")
    # Who comes now is told of what is there now.
    late = listen(transports)
    snapshot = late.until(lambda event, _: event == "snapshot", "the snapshot")
    assert job["id"] not in [job["id"] for job in snapshot["jobs"]]


@transports
def test_who_watches_a_job_hears_of_that_alone(start_cluster, listen, transports):
    cluster = start_cluster(slaves=0)
    watched, other = cluster.submit(SEED, "name=watched"), cluster.submit(SEED, "name=other")
    ear = listen(transports, cluster.http)
    ear.until(lambda event, _: event == "snapshot", "the snapshot")
    view = ear.client.call("watch", {"job": watched["id"]}, timeout=60)
    assert view["id"] == watched["id"] and view["state"] == "running"
    before = len(ear.all)
    cluster.add_slave()
    ear.until(lambda event, data: event == "end" and data["id"] == watched["id"], "the end")
    cluster.ended(other["id"])
    # An answer comes behind all that was told before it.
    assert ear.client.call("unwatch", timeout=60) == {}
    names = [event for event, _ in ear.all[before:]]
    assert set(names[: names.index("end")]) <= {"job"}
    assert all(data["id"] == watched["id"] for event, data in ear.all[before:] if event == "job")
    snapshot = ear.until(lambda event, _: event == "snapshot", "all again")
    assert {job["name"] for job in snapshot["jobs"]} == {"watched", "other"}
    third = cluster.submit(SEED)
    ear.until(is_job(third["id"], "succeeded"), "the third job")
    # One that has ended is told of at once, one that is gone is a problem.
    assert ear.client.call("watch", {"job": third["id"]}, timeout=60)["state"] == "succeeded"
    ear.until(lambda event, data: event == "end" and data["id"] == third["id"], "its end")
    requests.delete(f"{cluster.http}/api/v1/jobs/{third['id']}", timeout=PATIENCE)
    answer = ear.client.call("watch", {"job": third["id"]}, timeout=60)
    assert answer["problem"]["status"] in (404, 410)


def test_the_deletion_of_a_watched_job_is_told(start_cluster, listen):
    cluster = start_cluster(slaves=0)
    job = cluster.submit(SEED)["id"]
    ear = listen(url=cluster.http)
    ear.client.call("watch", {"job": job}, timeout=60)
    requests.delete(f"{cluster.http}/api/v1/jobs/{job}", timeout=PATIENCE)
    # It is cancelled before it is removed.
    ear.until(lambda event, data: event in ("deleted", "end") and data["id"] == job, "its end")


@transports
def test_clients_come_back_after_a_restart(start_cluster, listen, transports):
    cluster = start_cluster(slaves=1)
    ear = listen(transports, cluster.http)
    ear.until(lambda event, _: event == "snapshot", "the snapshot")
    # A stop does not wait for open sockets: it is over long before the time that requests are given.
    begun = time.monotonic()
    cluster.restart_master()
    assert time.monotonic() - begun < 8 and "still under way" not in "".join(cluster.master.said)
    ear.until(lambda event, _: event == "snapshot", "a snapshot of the new master")
    cluster.wait_for_slaves(1)
    job = cluster.submit(SEED)
    ear.until(is_job(job["id"], "succeeded"), "a job of the new master")
    cluster.restart_master(kill=True)
    ear.until(lambda event, _: event == "snapshot", "a snapshot of the third master")


def test_stopping_is_not_held_up(start_cluster, listen):
    cluster = start_cluster(slaves=0)
    for transport in ["websocket", "polling"] * 5:
        listen([transport], cluster.http, reconnection=False)
    cluster.stop_master()
    assert not [line for line in cluster.master.said if "still under way" in line]


@transports
def test_many_clients_with_asyncio(cluster, transports):
    async def one(job, begun):
        ended = asyncio.get_running_loop().create_future()
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(cluster.http, transports=transports)
            begun()
            while not ended.done():
                event, *data = await client.receive(timeout=PATIENCE)
                if event == "job" and data[0]["state"] == "succeeded" and data[0]["name"] == "for many":
                    ended.set_result(data[0]["id"])
        return await ended

    async def all_of_them():
        listeners, ready = 30, 0

        def begun():
            nonlocal ready
            ready += 1

        tasks = [asyncio.create_task(one(None, begun)) for _ in range(listeners)]
        while ready < listeners:
            await asyncio.sleep(0.02)
        job = await asyncio.to_thread(cluster.submit, SEED, "name=for%20many")
        assert set(await asyncio.gather(*tasks)) == {job["id"]}

    asyncio.run(all_of_them())


def test_malformed_wishes_do_no_harm(cluster, listen):
    ear = listen()
    ear.until(lambda event, _: event == "snapshot", "the snapshot")
    for payload in [None, {}, {"job": 7}, {"job": "x"}, "job", [], 1.5, {"job": None}, b"\x00\xff", {"job": b"\x00"}]:
        answer = ear.client.call("watch", payload, timeout=60)
        assert answer["problem"]["status"] == 400, payload
    answer = ear.client.call("watch", {"job": "0190d3a0-0000-7000-8000-000000000000"}, timeout=60)
    assert answer["problem"]["type"].endswith("#not-found")
    ear.client.emit("no-such-event", {"a": 1})
    ear.client.emit("watch", {"job": "x"})
    job = cluster.submit(SEED)
    ear.until(is_job(job["id"], "succeeded"), "the job, all the same")


def test_what_is_no_socket_io_does_no_harm(cluster):
    """Bytes that no client would send, over both transports, and sessions that nobody goes on with."""
    base = f"{cluster.http}/socket.io/?EIO=4&transport=polling"
    opened = requests.get(base, timeout=PATIENCE)
    assert opened.headers["x-content-type-options"] == "nosniff"
    sid = json.loads(opened.text[1:])["sid"]
    for body in [b"", b"\xff\xfe", b"40", b'42["watch"', b"4", b"451-[]", b'42["watch",{"job":1}]' * 100, b"9", b"\x1e\x1e"]:
        answer = requests.post(f"{base}&sid={sid}", data=body, timeout=PATIENCE)
        assert answer.status_code < 500, body
        opened = requests.get(base, timeout=PATIENCE)
        sid = json.loads(opened.text[1:])["sid"]
    assert requests.post(f"{base}&sid={sid}", data=b"4" * (1 << 20), timeout=PATIENCE).status_code in (400, 413)
    for query in ["", "?EIO=3&transport=polling", "?EIO=4", "?EIO=4&transport=pigeon", "?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA"]:
        answer = requests.get(f"{cluster.http}/socket.io/{query}", timeout=PATIENCE)
        assert 400 <= answer.status_code < 500, query
    assert requests.get(f"{cluster.http}/socket.iox", timeout=PATIENCE).status_code == 404
    # A WebSocket of rubbish.
    address = cluster.http.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as raw:
        raw.sendall(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert raw.recv(1000).startswith(b"HTTP/1.1 101")
        raw.sendall(bytes(range(256)) * 10)
        raw.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            while raw.recv(1000):
                pass
    assert cluster.get("/healthz").text == "ok\n"


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_pages_of_other_hosts_may_not_listen(cluster, transport):
    url = f"{cluster.http}/socket.io/?EIO=4&transport={transport}"
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13",
    }
    headers = upgrade if transport == "websocket" else {}
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"]:
        answer = requests.get(url, headers={**headers, "Origin": origin}, timeout=PATIENCE)
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
    request = urllib.request.Request(url.replace("websocket", "polling"), headers={"Origin": cluster.http})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def test_a_client_that_takes_nothing_is_not_waited_for(start_cluster):
    """It stays where it is while a hundred jobs come and go; the others hear of all of them, and the
    master's memory does not grow by what it has not taken."""
    cluster = start_cluster(slaves=2)
    address = cluster.http.removeprefix("http://").split(":")
    stuck = []
    for _ in range(20):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((address[0], int(address[1])))
        raw.sendall(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        # "40", masked with zeroes: it joins, and is never heard of again.
        raw.sendall(b"\x81\x82\0\0\0\0" + b"40")
        stuck.append(raw)
    ear = Ear(cluster.http, ["websocket"])
    ear.until(lambda event, _: event == "snapshot", "the snapshot")

    def resident():
        status = open(f"/proc/{cluster.master.child.pid}/status").read()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def count(jobs):
        for number in range(jobs):
            job = cluster.submit(SEED, f"name={'n' * 200}{number}")
            ear.until(is_job(job["id"], "succeeded"), f"job {number}")

    count(50)
    before = resident()
    count(100)
    assert resident() - before < 100 << 20
    ear.client.disconnect()
    for raw in stuck:
        raw.close()


def test_a_slow_client_is_told_by_a_snapshot_what_it_has_missed(start_cluster):
    cluster = start_cluster(slaves=1)
    base = f"{cluster.http}/socket.io/?EIO=4&transport=polling"
    states, snapshots, ids = {}, [], []
    with requests.Session() as session, ThreadPoolExecutor(8) as pool:
        sid = None

        def poll():
            nonlocal sid
            if sid is None:
                sid = json.loads(session.get(base, timeout=PATIENCE).text[1:])["sid"]
                session.post(f"{base}&sid={sid}", data=b"40", timeout=PATIENCE)
            answer = session.get(f"{base}&sid={sid}", timeout=PATIENCE)
            if answer.status_code != 200:
                # It had no room for a ping when that was due: it comes back, as clients do.
                sid = None
                return
            for packet in answer.text.split("\x1e"):
                if packet == "2":
                    session.post(f"{base}&sid={sid}", data=b"3", timeout=PATIENCE)
                elif packet.startswith("42"):
                    event, data = json.loads(packet[2:])
                    if event == "snapshot":
                        snapshots.append(len(data["jobs"]))
                    for job in data["jobs"] if event == "snapshot" else [data] if event == "job" else []:
                        states[job["id"]] = job["state"]

        poll()
        # It takes a few packets for each hundred that are there for it, until it is too far behind.
        while len(snapshots) < 2:
            assert len(ids) < 5000, "it is told everything, however slow it is"
            ids += [job["id"] for job in pool.map(lambda _: cluster.submit(SEED), range(50))]
            poll()
        cluster.ended(ids[-1])

        def look():
            poll()
            # A snapshot has the newest hundred of those that have ended.
            return all(states.get(id) == "succeeded" for id in ids[-50:])

        eventually("the last jobs to be told", look)
        assert snapshots[0] == 0
