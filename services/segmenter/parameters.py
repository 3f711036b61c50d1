"""NumPy arrays as parameters of statements: PostgreSQL takes each as it lies in memory, no value is made apart."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from psycopg.adapt import Dumper
from psycopg.pq import Format

from services.segmenter.staging import Connection

SEPARATOR: Final = "\x1f"  # no id holds a control character
EMPTY = struct.Struct(">iiI")
HEADER = struct.Struct(">iiIii")  # dimensions, whether there are nulls, element type, length, lower bound


class Parameter:
    """An array in PostgreSQL's binary form."""

    __slots__ = ("raw",)
    element: int

    def __init__(self, length: int, elements: bytes) -> None:
        self.raw = HEADER.pack(1, 0, self.element, length, 1) + elements if length else EMPTY.pack(0, 0, self.element)


class Numbers(Parameter):
    """int8[]."""

    element = 20


class Instants(Parameter):
    """timestamptz[], microseconds from 2000; the largest number is infinity."""

    element = 1184


class Bits(Parameter):
    """bytea[]."""

    element = 17


class Texts(Parameter):
    """text[]."""

    element = 25


class Places(Parameter):
    """tid[]: where rows stand."""

    element = 27


class Versions(Parameter):
    """xid[]: who wrote rows last."""

    element = 28


class _Dumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Parameter) -> bytes:
        return obj.raw


def prepare(connection: Connection) -> None:
    """Teach a connection to take these."""
    types = connection.adapters.types
    for kind in (Numbers, Instants, Bits, Places, Versions):
        dumper = type(f"{kind.__name__}Dumper", (_Dumper,), {"oid": types[kind.element].array_oid})
        connection.adapters.register_dumper(kind, dumper)


def numbers(values: npt.NDArray[np.int64]) -> Numbers:
    return Numbers(len(values), _fixed(values, ">i8"))


def instants(values: npt.NDArray[np.int64]) -> Instants:
    """From microseconds since 2000."""
    return Instants(len(values), _fixed(values, ">i8"))


def places(values: npt.NDArray[Any]) -> Places:
    """From what `arrays` loads a tid[] into."""
    return Places(len(values), _fixed(values, values.dtype))


def versions(values: npt.NDArray[Any]) -> Versions:
    return Versions(len(values), _fixed(values, ">u4"))


def bits(values: Sequence[bytes]) -> Bits:
    parts: list[bytes] = []
    for value in values:
        parts += (len(value).to_bytes(4, "big"), value)
    return Bits(len(values), b"".join(parts))


def bits_of(rows: npt.NDArray[np.uint8]) -> Bits:
    """From rows of bytes, all of one length."""
    elements = np.empty((rows.shape[0], 4 + rows.shape[1]), np.uint8)
    elements[:, :4] = np.frombuffer(rows.shape[1].to_bytes(4, "big"), np.uint8)
    elements[:, 4:] = rows
    return Bits(len(rows), elements.tobytes())


def element(text: str) -> bytes:
    """A text as an element of an array."""
    encoded = text.encode()
    return len(encoded).to_bytes(4, "big") + encoded


def texts_raw(elements: Sequence[bytes]) -> bytes:
    """A text[] as it goes into a binary COPY."""
    return Texts(len(elements), b"".join(elements)).raw


def texts(values: Sequence[str]) -> str:
    """For string_to_array with the same separator."""
    return SEPARATOR.join(values)


def _fixed(values: npt.NDArray[Any], kind: Any) -> bytes:
    elements = np.empty(len(values), [("length", ">i4"), ("value", kind)])
    elements["length"] = elements.dtype["value"].itemsize
    elements["value"] = values
    return elements.tobytes()
