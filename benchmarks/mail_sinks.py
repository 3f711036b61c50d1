"""What mail is sent to in the benchmark: servers that take everything and keep nothing but the number.

python -m benchmarks.mail_sinks http|smtp PORT
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

IDS = [b'{"id":"00000000-0000-7000-8000-%012d"}' % n for n in range(100)]
ANSWERS = [b'{"data":[%s]}' % b",".join(IDS[:n]) for n in range(101)]
LARGEST = 4_000_000  # bytes of a request
# Each mail carries one, and no text can hold it: quotes have a backslash there. Shorter words are searched more slowly.
MAIL = b'{"name":"message_id","value":"'
HELLO = b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"


class HttpSink(asyncio.BufferedProtocol):
    """Answers a batch as Resend does; GET tells how many mails came. All of a request is read into the same memory."""

    mails = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._memory = bytearray(LARGEST)
        self._room = memoryview(self._memory)
        self._filled = 0
        self._body, self._end = 0, -1  # where the body begins and ends; -1 while the head is not whole

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._room[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._end < 0:
            self._body = self._memory.find(b"\r\n\r\n", 0, self._filled) + 4
            if self._body < 4:
                return
            head = bytes(self._room[: self._body]).lower()
            _, found, length = head.partition(b"content-length:")
            self._end = self._body + (int(length.split(b"\r\n", 1)[0]) if found else 0)
        if self._filled >= self._end:
            mails = self._memory.count(MAIL, self._body, self._end)
            HttpSink.mails += mails
            answer = ANSWERS[mails] if self._end > self._body else b"%d" % HttpSink.mails
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
            self._transport.write(head + answer)  # type: ignore[attr-defined]
            self._filled, self._end = 0, -1


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
