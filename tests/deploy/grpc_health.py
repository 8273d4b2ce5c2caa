"""Asks a gRPC server whether it serves, as Kubernetes does: python3 grpc_health.py HOST PORT [SERVICE]

As much of HTTP/2 as one call takes, so that nothing has to be installed.
"""

import socket
import struct
import sys

DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
SERVING = b"\x08\x01"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name: str, value: str) -> bytes:
    """One that is neither indexed nor compressed."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def read(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise ConnectionError("the server has closed the connection")
        data += piece
    return data


def serves(host: str, port: int, service: str = "", timeout: float = 3.0) -> bool:
    fields = {
        ":method": "POST", ":scheme": "http", ":path": "/grpc.health.v1.Health/Check", ":authority": host,
        "content-type": "application/grpc", "te": "trailers",
    }
    named = service.encode()
    message = (b"\x0a" + bytes([len(named)]) + named) if named else b""
    with socket.create_connection((host, port), timeout) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, b"")
            + frame(HEADERS, END_HEADERS, 1, b"".join(header(*field) for field in fields.items()))
            + frame(DATA, END_STREAM, 1, b"\x00" + struct.pack(">I", len(message)) + message)
        )
        while True:
            head = read(connection, 9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream = int.from_bytes(head[5:], "big")
            payload = read(connection, length)
            if kind in (SETTINGS, PING) and not flags & ACK:
                connection.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind == DATA and stream == 1:
                return payload[5:] == SERVING
            elif kind == GOAWAY or (kind == HEADERS and stream == 1 and flags & END_STREAM):
                # An answer without a body: there is no such service, or no such method.
                return False


if __name__ == "__main__":
    sys.exit(not serves(sys.argv[1], int(sys.argv[2]), *sys.argv[3:4]))
