"""Values that a field was not made for, as raw JSON and as raw MessagePack, by name.

``NEVER`` names those that no document of ours can hold wherever they stand; what the others mean depends on the field.
"""

from __future__ import annotations

import struct

DEEP = 100_000
"""Levels of nesting: far beyond any parser's stack."""

LONG = 1_000_000
"""Characters of a long text."""

_NUMBERS = {
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "2^31": 2**31,
    "2^52": 2**52,
    "2^53+1": 2**53 + 1,
    "max int64": 2**63 - 1,
    "min int64": -(2**63),
    "2^63": 2**63,
    "2^64-1": 2**64 - 1,
}

JSON: dict[str, bytes] = {
    **{name: str(number).encode() for name, number in _NUMBERS.items()},
    "2^64": str(2**64).encode(),
    "below int64": str(-(2**63) - 1).encode(),
    "10^25": b"1" + b"0" * 25,
    "10^400": b"1" + b"0" * 400,
    "1e308": b"1e308",
    "-1e308": b"-1e308",
    "1e309": b"1e309",
    "half": b"0.5",
    "denormal": b"1e-320",
    "minus zero": b"-0.0",
    "nan": b"NaN",
    "infinity": b"Infinity",
    "minus infinity": b"-Infinity",
    "null": b"null",
    "true": b"true",
    "false": b"false",
    "empty text": b'""',
    "a letter": b'"x"',
    "a number as text": b'"7"',
    "a date": b'"2013-03-01T00:00:00"',
    "nul": b'"\\u0000"',
    "lone surrogate": b'"\\ud800"',
    "not utf-8": b'"\xff\xfe"',
    "base64 rubbish": b'"=x=="',
    "long text": b'"' + b"x" * LONG + b'"',
    "empty list": b"[]",
    "a list": b"[1]",
    "nested list": b"[[]]",
    "null list": b"[null]",
    "many items": b"[" + b"0," * 20_000 + b"0]",
    "empty object": b"{}",
    "an object": b'{"a":1}',
    "deep list": b"[" * DEEP + b"]" * DEEP,
    "deep object": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "nothing": b"",
    "half a text": b'"x',
}

MSGPACK: dict[str, bytes] = {
    **{name: b"\xd3" + struct.pack(">q", number) for name, number in _NUMBERS.items() if number < 2**63},
    "2^63": b"\xcf" + struct.pack(">Q", 2**63),
    "2^64-1": b"\xcf" + struct.pack(">Q", 2**64 - 1),
    "1e308": b"\xcb" + struct.pack(">d", 1e308),
    "half": b"\xcb" + struct.pack(">d", 0.5),
    "nan": b"\xcb" + struct.pack(">d", float("nan")),
    "infinity": b"\xcb" + struct.pack(">d", float("inf")),
    "minus infinity": b"\xcb" + struct.pack(">d", float("-inf")),
    "null": b"\xc0",
    "true": b"\xc3",
    "false": b"\xc2",
    "empty text": b"\xa0",
    "a letter": b"\xa1x",
    "not utf-8": b"\xa2\xff\xfe",
    "nul": b"\xa1\0",
    "long text": b"\xdb" + struct.pack(">I", LONG) + b"x" * LONG,
    "empty bytes": b"\xc4\0",
    "bytes": b"\xc4\2xx",
    "empty list": b"\x90",
    "a list": b"\x91\1",
    "nested list": b"\x91\x90",
    "null list": b"\x91\xc0",
    "many items": b"\xdd" + struct.pack(">I", 20_000) + b"\0" * 20_000,
    "empty object": b"\x80",
    "an object": b"\x81\xa1a\1",
    "a number as key": b"\x81\1\1",
    "deep list": b"\x91" * DEEP + b"\xc0",
    "deep object": b"\x81\xa1a" * DEEP + b"\xc0",
    "extension": b"\xd4\7\0",
    "timestamp": b"\xd6\xff\0\0\0\1",
    "reserved": b"\xc1",
    "four billion items": b"\xdd\xff\xff\xff\xff",
    "four billion pairs": b"\xdf\xff\xff\xff\xff",
    "four gigabytes": b"\xc6\xff\xff\xff\xff",
    "nothing": b"",
}

NEVER = frozenset(
    {"not utf-8", "deep list", "deep object", "reserved", "four billion items", "four billion pairs", "four gigabytes"}
    | {"nothing", "half a text", "lone surrogate"}
)

NOT_JSON = frozenset({"nan", "infinity", "minus infinity"})
"""Tokens that JSON does not have; MessagePack has such numbers."""

BIG = frozenset({"long text", "many items", "deep list", "deep object", "10^400"})
"""Those that take long to make and to read: a mix has fewer of them."""

TIMES_REFUSED = frozenset({"minus one", "2^52", "2^53+1", "max int64", "min int64", "2^63", "2^64-1", "10^25", "null"})
"""What no time of our records may be: outside the years 1970 to 9999, or none."""

MAGIC: dict[str, bytes] = {
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",
    "zstd": b"\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00\x99\xe9\xd8\x51",
    "lz4": b"\x04\x22\x4d\x18\x64\x40\xa7\0\0\0\0",
    "snappy": b"\xff\x06\0\0sNaPpY",
    "pickle": b"\x80\x04\x95\x1e\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R.",
    "safetensors": b"\x40\0\0\0\0\0\0\0"
    + b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(64)
    + b"\0" * 4,
    "torch zip": b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0archive/data.pklFB",
    "avro": b"Obj\x01\x04\x14avro.codec\x08null\x16avro.schema",
    "confluent avro": b"\0\0\0\0\x2a\x02\x04ab",
    "protobuf": b"\x08\x96\x01\x12\x07testing",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "utf-16": "{}".encode("utf-16"),
    "utf-8 mark": b"\xef\xbb\xbf{}",
    "elf": b"\x7fELF\x02\x01\x01",
    "pdf": b"%PDF-1.7\n",
    "xml": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'b'>]><a>&b;</a>",
    "html": b"<img src=x onerror=alert(1)>",
    "zeros": b"\0" * 4_096,
    "ones": b"\xff" * 4_096,
    "nothing": b"",
    "new lines": b"\r\n" * 100,
    "a megabyte": b"a" * LONG,
}
