"""TensorBoard's event files, read directly: the scalars in one file.

A file is a row of records, `length crc(length) data crc(data)`, and each record's data is an `Event` of protocol
buffers, of which few fields matter here. Sources: TensorFlow's `tfrecord` format (CRC-32C, masked) and TensorBoard's
`event.proto`, `summary.proto`, `tensor.proto`. A writer that was killed leaves a torn last record; that is no
damage. Images, histograms, audio and graphs are passed over unread.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import IO, Final, NamedTuple

_HEADER: Final = struct.Struct("<QI")
_MOST_SCALAR: Final = 1 << 16
"""Bytes; a longer record holds an image, a histogram or a graph."""
_START_OF_SESSION: Final = 1
_FLOAT, _DOUBLE, _HALF, _BFLOAT16, _BOOL = 1, 2, 19, 14, 10
_PACKED: Final = {
    _FLOAT: "<f", _DOUBLE: "<d", 3: "<i", 4: "<B", 5: "<h", 6: "<b", 9: "<q", _BOOL: "<?", 17: "<H", _HALF: "<e",
    22: "<I", 23: "<Q",
}  # fmt: skip
"""How a tensor's content spells one number, by its type."""
_VALUE_FIELDS: Final = {5: _FLOAT, 6: _DOUBLE, 7: 3, 10: 9, 11: _BOOL, 13: _HALF, 16: 22, 17: 23}
"""A tensor's field of plain values, and the type that its members have; half floats are spelled as integers."""


class Scalar(NamedTuple):
    """One value: seconds since 1970 as the writer's clock had it, step, tag, value."""

    time: float
    step: int
    tag: str
    value: float | int


class Restart(NamedTuple):
    """The writer began again: what its directory holds from this step on is void."""

    step: int


@dataclass(slots=True)
class EventFile:
    """Reads one file; `problem` then says what was wrong with it, "" if nothing was."""

    path: str
    problem: str = ""

    def events(self) -> Iterator[Scalar | Restart]:
        """The scalars in the order they were written; `OSError` if the file cannot be read."""
        plugins: dict[str, str] = {}
        with open(self.path, "rb") as file:
            for data in self._records(file):
                try:
                    yield from _event(data, plugins)
                except (ValueError, IndexError, struct.error, OverflowError):
                    self.problem = "a record that is no event is left out"

    def _records(self, file: IO[bytes]) -> Iterator[bytes]:
        """The data of every whole record of a scalar's size."""
        size = os.fstat(file.fileno()).st_size
        while len(head := file.read(_HEADER.size)) == _HEADER.size:
            length, check = _HEADER.unpack(head)
            if _masked_crc(head[:8]) != check:
                self.problem = f"damaged at byte {file.tell() - _HEADER.size}, read up to there"
                return
            if length > _MOST_SCALAR:
                if file.tell() + length + 4 > size:
                    return
                file.seek(length + 4, os.SEEK_CUR)
                continue
            data, end = file.read(length), file.read(4)
            if len(end) < 4:
                return
            if _masked_crc(data) != int.from_bytes(end, "little"):
                self.problem = "a damaged record is left out"
                continue
            yield data


def _event(data: bytes, plugins: dict[str, str]) -> Iterator[Scalar | Restart]:
    """What an `Event` says; `plugins` remembers which of TensorBoard's plugins a tag belongs to."""
    time, step = 0.0, 0
    summaries: list[bytes] = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            (time,) = struct.unpack("<d", value)
        elif number == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >= 1 << 63 else value
        elif number == 5 and isinstance(value, bytes):
            summaries.append(value)
        elif number == 7 and isinstance(value, bytes) and dict(_fields(value)).get(1) == _START_OF_SESSION:
            yield Restart(step)
    for summary in summaries:
        for number, value in _fields(summary):
            if number == 1 and isinstance(value, bytes):
                found = _value(value, plugins)
                if found is not None:
                    yield Scalar(time, step, *found)


def _value(data: bytes, plugins: dict[str, str]) -> tuple[str, float | int] | None:
    """Tag and number of a `Summary.Value`, old style (`simple_value`) or new (a tensor); None for any other."""
    tag, value = "", None
    tensor = b""
    for number, content in _fields(data):
        if number == 1 and isinstance(content, bytes):
            tag = content.decode(errors="replace")
        elif number == 2 and isinstance(content, bytes):
            value = _shortest(content)
        elif number == 8 and isinstance(content, bytes):
            tensor = content
        elif number == 9 and isinstance(content, bytes):
            plugins[tag] = _plugin(content)
    if value is None and tensor and plugins.get(tag, "") in ("", "scalars"):
        value = _number(tensor)
    return None if value is None else (tag, value)


def _plugin(metadata: bytes) -> str:
    content = dict(_fields(metadata)).get(1, b"")
    name = dict(_fields(content)).get(1, b"") if isinstance(content, bytes) else b""
    return name.decode(errors="replace") if isinstance(name, bytes) else ""


def _number(tensor: bytes) -> float | int | None:
    """The number in a tensor of one element and no dimension."""
    kind, content, values = 0, b"", []
    for number, value in _fields(tensor):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes):
            if any(field == 2 for field, _ in _fields(value)):
                return None
        elif number == 4 and isinstance(value, bytes):
            content = value
        elif number in _VALUE_FIELDS:
            values.append(value)
    if content:
        return _unpacked(kind, content)
    if len(values) != 1 or kind not in (*_PACKED, _BFLOAT16):
        return None
    value = values[0]
    if kind in (_HALF, _BFLOAT16):
        bits = value if isinstance(value, int) else _varint(value, 0)[0]
        return _unpacked(kind, (bits & 0xFFFF).to_bytes(2, "little"))
    if kind in (_FLOAT, _DOUBLE):
        return _unpacked(kind, value) if isinstance(value, bytes) else None
    whole = value if isinstance(value, int) else _varint(value, 0)[0]
    return whole - (1 << 64) if whole >= 1 << 63 and kind != 23 else whole


def _unpacked(kind: int, content: bytes) -> float | int | None:
    if kind == _FLOAT:
        return _shortest(content)
    if kind == _BFLOAT16:
        return _shortest(b"\0\0" + content)
    layout = _PACKED.get(kind)
    if layout is None or len(content) != struct.calcsize(layout):
        return None
    value: float | int = struct.unpack(layout, content)[0]
    return int(value) if kind == _BOOL else value


def _shortest(content: bytes) -> float:
    """A float of 32 bits as the shortest decimal that is that float: 0.1, not 0.10000000149."""
    (value,) = struct.unpack("<f", content)
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        if abs(short) < 3.4e38 and struct.pack("<f", short) == content:
            return short
    return float(value)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and content of each field of a message; `ValueError` or `IndexError` for what is none."""
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        kind = key & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if kind == 2:
            length, position = _varint(data, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(kind)
        if position + length > end:
            raise ValueError(length)
        yield key >> 3, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7
        if shift > 63:
            raise ValueError(shift)


@cache
def _table() -> tuple[int, ...]:
    """CRC-32C (Castagnoli), a byte at a time."""
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


def _masked_crc(data: bytes) -> int:
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
