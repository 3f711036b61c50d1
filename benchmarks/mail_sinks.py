"""What mail is sent to in the benchmark: servers that take everything and keep nothing but the number.

python -m benchmarks.mail_sinks http|smtp PORT
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

IDS = [b'{"id":"00000000-0000-7000-8000-%012d"}' % n for n in range(100)]
ANSWERS = [b'{"data":[%s]}' % b",".join(IDS[:n]) for n in range(101)]
HELLO = b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"


class HttpSink(asyncio.Protocol):
    """Answers a batch as Resend does; GET tells how many mails came."""

    mails = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self._missing = -1  # bytes of the body; -1 while the head is not whole

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            data = b"".join([*self._parts, data])
            end = data.find(b"\r\n\r\n")
            self._parts = [data] if end < 0 else []
            if end < 0:
                return
            head, data = data[:end].lower(), data[end + 4 :]
            length = head.find(b"content-length:")
            self._missing = int(head[length + 15 :].split(b"\r\n", 1)[0]) if length >= 0 else 0
        self._parts.append(data)
        self._missing -= len(data)
        if self._missing <= 0:
            body = b"".join(self._parts)
            mails = body.count(b'"from":')
            HttpSink.mails += mails
            answer = ANSWERS[mails] if body else b"%d" % HttpSink.mails
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
            self._transport.write(head + answer)  # type: ignore[attr-defined]
            self._parts, self._missing = [], -1


class SmtpSink(asyncio.Protocol):
    """Says yes to everything, also to commands that came in one packet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._rest = b""
        self._in_data = False
        transport.write(b"220 sink\r\n")  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        data, answer = self._rest + data, []
        while data:
            if self._in_data:
                end = data.find(b"\r\n.\r\n")
                if end < 0:
                    break
                data, self._in_data = data[end + 5 :], False
                answer.append(b"250 2.0.0 taken\r\n")
                continue
            line, found, rest = data.partition(b"\r\n")
            if not found:
                break
            data, word = rest, line[:4].upper()
            if word == b"DATA":
                # What follows begins a mail, so that an empty one ends at once, too.
                self._in_data, data = True, b"\r\n" + data if data else data
                answer.append(b"354 go on\r\n")
            else:
                answer.append(HELLO if word == b"EHLO" else b"221 bye\r\n" if word == b"QUIT" else b"250 yes\r\n")
        self._rest = data
        if answer:
            self._transport.write(b"".join(answer))  # type: ignore[attr-defined]


async def serve(kind: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server({"http": HttpSink, "smtp": SmtpSink}[kind], "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
