"""Masters that speak TLS, and what a client shows of itself."""

import socket
import ssl
import subprocess
import threading

import pytest

from tally import Client, Unreachable
from tally.tls import authorized, context
from tally_cluster import binary, environment


def certs(folder):
    for what in (["ca"], ["server", "127.0.0.1"], ["client", "alice", "--scope", "read"]):
        subprocess.run([binary(), "certs", *what, "--dir", folder], check=True, env=environment())
    return folder


def test_a_master_is_trusted_for_its_authority_alone(start_cluster, tmp_path, monkeypatch):
    ours, others = certs(tmp_path / "ours"), certs(tmp_path / "others")
    files = [str(ours / name) for name in ("127.0.0.1.pem", "127.0.0.1.key", "ca.pem")]
    flags = ("--tls-cert", files[0], "--tls-key", files[1], "--tls-client-ca", files[2])
    cluster = start_cluster(slaves=0, flags=flags)
    assert cluster.http.startswith("https://")
    alice = (ours / "alice.pem", ours / "alice.key")
    assert list(Client(cluster.http, ca=ours / "ca.pem", cert=alice).jobs()) == []
    for ca in (None, others / "ca.pem"):
        # At once, however patient the client is.
        with pytest.raises(Unreachable, match="(?i)certificate"):
            list(Client(cluster.http, ca=ca, retry_for=3600).jobs())
    monkeypatch.setenv("TALLY_TLS_CA", files[2])
    assert list(Client(cluster.http, cert=alice).jobs()) == []
    assert list(Client(cluster.http, ca=others / "ca.pem", cert=alice, verify=False).jobs()) == []


def test_what_can_not_be_meant_is_refused(tmp_path):
    assert context("http://127.0.0.1:1", None, None, True) is None
    for wrong in ({"ca": "ca.pem"}, {"cert": "me.pem"}):
        with pytest.raises(ValueError, match="https://"):
            Client("http://127.0.0.1:1", **wrong)
    with pytest.raises(ValueError, match="ssl_context"):
        Client("https://127.0.0.1:1", ca="ca.pem", ssl_context=ssl.create_default_context())


def test_a_key_goes_with_each_request_and_is_shown_nowhere(monkeypatch):
    key = "tally_0123456789ab_secret"
    seen = []

    def answer(listener):
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(65536).decode())
                body = b'{"jobs": []}'
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=answer, args=(listener,))
        serving.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = Client(url, api_key=key)
        assert key not in repr(client)
        assert list(client.jobs()) == []
        monkeypatch.setenv("TALLY_API_KEY", f" {key}\n")
        assert list(Client(url).jobs()) == []
        serving.join()
    assert len(seen) == 2
    assert all(f"\r\nAuthorization: Bearer {key}\r\n" in request for request in seen)


def test_headers_of_ones_own_go_before_keys(monkeypatch):
    monkeypatch.delenv("TALLY_API_KEY", raising=False)
    assert authorized({"authorization": "Basic x"}, "key") == {"authorization": "Basic x"}
    assert authorized(None, None) == {}
    with pytest.raises(ValueError) as caught:
        authorized(None, "two words")
    assert "two" not in str(caught.value)
