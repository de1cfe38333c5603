"""What a file is, by its first bytes: packed or not, in which encoding, of which kind."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from stream_app.errors import DriftflowError

LINE_MAX = 64 * 1024 * 1024
"""Characters or bytes of a line; what is longer is taken as several."""

_HEAD = 64 * 1024
_GZIP = b"\x1f\x8b"
_BOMS = {  # of two that begin alike the longer one is looked at first
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_PACKED = {
    b"PK\x03\x04": "a ZIP archive or an Excel sheet: unpack it, or save it as CSV",
    b"\x28\xb5\x2f\xfd": "packed with zstd: unpack it first (zstd -d)",
    b"BZh": "packed with bzip2: unpack it first (bunzip2)",
    b"\xfd7zXZ\x00": "packed with xz: unpack it first (unxz)",
    b"\x04\x22\x4d\x18": "packed with lz4: unpack it first (lz4 -d)",
    b"Obj\x01": "an Avro file: write it as CSV, JSON lines or Parquet",
    b"ORC": "an ORC file: write it as CSV, JSON lines or Parquet",
    b"ARROW1": "an Arrow file: write it as CSV, JSON lines or Parquet",
    b"SQLite format 3\x00": "a SQLite database: write its table as CSV, JSON lines or Parquet",
}
_BAD_SHARE = 0.1
"""Above this share of lines that are not UTF-8 the whole file is taken to be in another encoding."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is open.

    Attributes:
        stream: its bytes, unpacked, after a byte-order mark.
        encoding: of its text; "" for a Parquet file.
        head: its first characters.
        packed: the file itself, whose position says how far it was read.
    """

    stream: IO[bytes]
    encoding: str
    head: str
    packed: io.FileIO

    def taken(self) -> float | None:
        """How much of the file was read, packed as it is; None of one without an end."""
        if self.packed.closed:
            return 1.0
        size = os.fstat(self.packed.fileno()).st_size
        return min(self.packed.tell() / size, 1.0) if size else None

    def text(self) -> IO[str]:
        """Its characters, line ends as they are; bytes that are none become lone surrogates."""
        errors = "surrogateescape" if self.encoding == "utf-8" else "replace"
        return io.TextIOWrapper(self.stream, encoding=self.encoding, errors=errors, newline="")


class _Unpacked(io.RawIOBase):
    """A gzipped file; all that can be unpacked is handed on before the error of one that is cut or damaged."""

    def __init__(self, packed: io.BufferedReader[Any]) -> None:
        self._packed, self._file = packed, gzip.GzipFile(fileobj=packed, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        self._packed.close()
        super().close()


def open_events(path: str | Path) -> Opened:
    """Open a file and look at its first bytes.

    Raises:
        DriftflowError: it is empty, or what it is cannot be read; a sentence with what it is.
        OSError, EOFError, zlib.error: it cannot be read.
    """
    file = io.FileIO(path)
    stream: io.BufferedReader[Any] = io.BufferedReader(file, _HEAD)
    try:
        packed = stream.peek(len(_GZIP)).startswith(_GZIP)
        if packed:
            stream = io.BufferedReader(_Unpacked(stream), _HEAD)
        encoding, head = _look(path, stream, packed)
        return Opened(stream, encoding, head, file)
    except BaseException:
        stream.close()
        raise


def _look(path: str | Path, stream: io.BufferedReader[Any], packed: bool) -> tuple[str, str]:
    """The encoding of a text, "" of a Parquet file, and how it begins."""
    head = stream.peek(_HEAD)[:_HEAD]
    if head.startswith(b"PAR1"):
        if packed:
            raise DriftflowError(f"{path} is a gzipped Parquet file: unpack it first (gunzip)")
        return "", ""
    for magic, what in _PACKED.items():
        if head.startswith(magic):
            raise DriftflowError(f"{path} is {what}")
    encoding = "utf-8"
    for bom, name in _BOMS.items():
        if head.startswith(bom):
            stream.read(len(bom))
            head, encoding = head[len(bom) :], name
            break
    else:
        _refuse_other_encodings(path, head)
    text = head.decode(encoding, errors="replace")
    if not text.strip():
        raise DriftflowError(f"{path} is empty: name a file of events")
    return encoding, text


def _refuse_other_encodings(path: str | Path, head: bytes) -> None:
    """Raise where a head without a byte-order mark is no UTF-8, for the greater part."""
    halves = [half.count(0) / max(len(half), 1) for half in (head[::2], head[1::2])]
    if max(halves) > 0.4 and min(halves) < 0.1:
        name = "UTF-16BE" if halves[0] > halves[1] else "UTF-16LE"
        raise DriftflowError(f"{path} is in {name} without a byte-order mark: convert it, iconv -f {name} -t UTF-8")
    lines = head.splitlines()
    lines = lines if head.endswith(b"\n") else lines[:-1] or lines  # the last one may be cut
    if lines and b"\x00" in lines[0]:
        raise DriftflowError(f"{path} holds binary data: name a file of CSV, JSON lines or Parquet")
    wrong = [number for number, line in enumerate(lines, 1) if not _is_utf8(line)]
    proven = any(not line.isascii() for number, line in enumerate(lines, 1) if number not in wrong)
    if wrong and not proven and (1 in wrong or len(wrong) > max(1, _BAD_SHARE * len(lines))):
        raise DriftflowError(f"{path} is not in UTF-8 (line {wrong[0]}: {describe(lines[wrong[0] - 1])})")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def describe(line: bytes) -> str:
    """What a line that is not UTF-8 may be, and what to do.

    >>> describe("Zürich".encode("latin-1"))
    'byte 0xFC, latin-1 (Windows-1252) by the look of it: convert the file, iconv -f WINDOWS-1252 -t UTF-8'
    """
    try:
        line.decode()
    except UnicodeDecodeError as error:
        sign = line[error.start]
    single = len(re.findall(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])", line))
    western = single * 2 > sum(byte >= 0x80 for byte in line)
    look, name = ("latin-1 (Windows-1252)", "WINDOWS-1252") if western else ("no encoding that its bytes name", "NAME")
    return f"byte 0x{sign:02X}, {look} by the look of it: convert the file, iconv -f {name} -t UTF-8"
