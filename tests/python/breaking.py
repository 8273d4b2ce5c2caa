"""A way to the master that breaks: passes bytes on, and hangs up where it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Callable
from urllib.parse import urlsplit


class BreakingProxy:
    """Passes connections on to `url`. `limits` gives for the connection of a number (from 0) how many bytes
    may go to the master and how many may come from it before it is cut off; `None` is no limit."""

    def __init__(self, url: str, limits: Callable[[int], tuple[int | None, int | None]]):
        parts = urlsplit(url)
        self._to = (parts.hostname, parts.port)
        self._limits = limits
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        #: Connections so far, and those of them that were cut off.
        self.connections, self.cut = 0, 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            there, back = self._limits(number)
            try:
                master = socket.create_connection(self._to)
            except OSError:
                client.close()
                continue
            for ends, limit in (((client, master), there), ((master, client), back)):
                threading.Thread(target=self._pass, args=(*ends, limit), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(1 << 16 if limit is None else min(1 << 16, max(1, limit - passed))):
                sink.sendall(data)
                passed += len(data)
                if limit is not None and passed >= limit:
                    self.cut += 1
                    raise ConnectionAbortedError
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                # One that is only shut down would still take bytes, and the sender wait for ever.
                end.close()

    def close(self) -> None:
        """Takes no more connections."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
        self._listener.close()
