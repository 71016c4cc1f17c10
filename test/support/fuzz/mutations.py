# SPDX-License-Identifier: Apache-2.0
"""Mutations of files: of bytes, of numbers and words in texts, of JSON values, of headers."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Chance = np.random.Generator
Files = dict[str, bytes]
"""Content by name, relative to the input's folder."""

NUMBERS = (
    *("0", "-1", "1", "nan", "inf", "-inf", "1e999", "1e308", "-1e308", "1e-320", "2147483648"),
    *("4294967296", "9223372036854775808", "-0.0", "9" * 41, "9" * 300, "9" * 5000, "0x", "0b_"),
    *("1e99999999", "1:2:3", "1_000", "50001", "1000000", "0.5", "255", "256", "65536"),
)
WORDS = (
    *("", "~", "null", "[]", "{}", "true", "&a [*a]", "*a", "<<: 1", "!!python/object:os.system x"),
    *("!!timestamp 2001-99-99", "2011-09-26", "!!binary x", "A" * 3000, "\x1b[31m", "\u202e"),
    *("[" * 200, "{a: " * 100, "- " * 300, "../../etc/passwd", "/dev/zero", "~nosuch/x", "%s%n"),
    *(
        "\x00",
        "\u2028",
        "\xff",
        "'",
        '"',
        "\\ud800",
        "<!ENTITY a 'b'>",
        "&#x0;",
        "?camera=",
        "@1:2",
    ),
)
INTEGERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
LONG = (*INTEGERS, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 0.5, 1e308, 10**12, 10**39, 10**300, "", "x", "A" * 500, "\ud800"),
    *([], {}, [1, 2], [None], {"a": 1}, [10**9] * 3, float("nan"), float("inf"), "../x", "\x1b[2J"),
)


def mutated(files: Files, others: list[Files], targets: str, chance: Chance) -> Files:
    """A copy of an input in which one to four changes were made.

    Args:
        files: the input.
        others: of the same kind, for splices.
        targets: pattern of the names that are changed.
        chance: decides everything.
    """
    names = [name for name in files if re.search(targets, name)]
    found = dict(files)
    for _ in range(int(chance.integers(1, 5))):
        name = names[int(chance.integers(len(names)))]
        found[name] = _changed(name, found[name], others, chance)
    return found


def _changed(name: str, data: bytes, others: list[Files], chance: Chance) -> bytes:
    if name.endswith(".gz"):
        return _bytes(data, chance)
    if name.endswith(".safetensors") and chance.random() < 0.6:
        return _safetensors(data, chance)
    if name.endswith(".png") and chance.random() < 0.5:
        return _png(data, chance)
    same = [one[name] for one in others if name in one]
    if same and chance.random() < 0.1:
        return _spliced(data, same[int(chance.integers(len(same)))], chance)
    if _is_text(data):
        if name.endswith(".json") and chance.random() < 0.5:
            return _json(data, chance)
        if chance.random() < 0.8:
            return _text(data, chance)
    return _bytes(data, chance)


def _is_text(data: bytes) -> bool:
    head = data[:200]
    return b"\0" not in head and sum(c > 126 for c in head) < 4


def _bytes(data: bytes, chance: Chance) -> bytes:
    change = BYTES[int(chance.integers(len(BYTES)))]
    return bytes(change(bytearray(data), chance))


def _at(data: bytearray, chance: Chance) -> int:
    """A position, often near the beginning or the end, where headers and indexes are."""
    if not data:
        return 0
    where = chance.random()
    reach = len(data) if where < 0.4 else min(len(data), 600)
    at = int(chance.integers(reach))
    return len(data) - 1 - at if where > 0.8 else at


def _flip(data: bytearray, chance: Chance) -> bytearray:
    for _ in range(int(chance.integers(1, 9))):
        if data:
            data[_at(data, chance)] ^= 1 << int(chance.integers(8))
    return data


def _set(data: bytearray, chance: Chance) -> bytearray:
    if data:
        data[_at(data, chance)] = int(chance.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF]))
    return data


def _integer(data: bytearray, chance: Chance) -> bytearray:
    size = int(chance.choice([1, 2, 4, 8]))
    value = LONG[int(chance.integers(len(LONG)))]
    if chance.random() < 0.3:
        value = len(data) + int(chance.integers(-3, 4))
    order = "little" if chance.random() < 0.7 else "big"
    at = _at(data, chance)
    data[at : at + size] = (value % 256**size).to_bytes(size, order)  # type: ignore[arg-type]
    return data


def _cut(data: bytearray, chance: Chance) -> bytearray:
    return data[: int(chance.integers(len(data) + 1))]


def _remove(data: bytearray, chance: Chance) -> bytearray:
    at = _at(data, chance)
    del data[at : at + int(chance.integers(1, 65))]
    return data


def _repeat(data: bytearray, chance: Chance) -> bytearray:
    at, size = _at(data, chance), int(chance.integers(1, 300))
    data[at:at] = data[at : at + size] * int(chance.integers(1, 20))
    return data


def _insert(data: bytearray, chance: Chance) -> bytearray:
    at = _at(data, chance)
    data[at:at] = chance.bytes(int(chance.integers(1, 65)))
    return data


def _move(data: bytearray, chance: Chance) -> bytearray:
    a, b, size = _at(data, chance), _at(data, chance), int(chance.integers(1, 65))
    data[b : b + size] = data[a : a + size]
    return data


BYTES: tuple[Callable[[bytearray, Chance], bytearray], ...] = (
    _flip, _flip, _set, _integer, _integer, _integer, _cut, _remove, _repeat, _insert, _move,
)  # fmt: skip


def _spliced(data: bytes, other: bytes, chance: Chance) -> bytes:
    at = int(chance.integers(len(data) + 1))
    return data[:at] + other[int(chance.integers(len(other) + 1)) :]


def _text(data: bytes, chance: Chance) -> bytes:
    text = data.decode("utf-8", "surrogateescape")
    kind = chance.random()
    pattern = r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?" if kind < 0.5 else r"[\w./-]+"
    if kind > 0.85:
        pattern = r"[^\n]*\n"
    places = list(re.finditer(pattern, text))
    if not places:
        return _bytes(data, chance)
    one = places[int(chance.integers(len(places)))]
    choices = NUMBERS if kind < 0.5 else WORDS
    new = choices[int(chance.integers(len(choices)))]
    if kind > 0.85:
        new = (text[one.start() : one.end()] * int(chance.integers(0, 4))) + new + "\n"
    text = text[: one.start()] + new + text[one.end() :]
    return text.encode("utf-8", "surrogateescape")


def _json(data: bytes, chance: Chance) -> bytes:
    try:
        content = json.loads(data)
    except ValueError:
        return _text(data, chance)
    return json.dumps(_replaced(content, chance)).encode("utf-8", "surrogatepass")


def _replaced(content: Any, chance: Chance) -> Any:
    """A JSON value of which one part, at any depth, is another."""
    if chance.random() < 0.15 or not isinstance(content, dict | list) or not content:
        if isinstance(content, str) and content[:1] in "{[" and chance.random() < 0.7:
            return _json(content.encode(), chance).decode("utf-8", "replace")
        return VALUES[int(chance.integers(len(VALUES)))]
    if isinstance(content, dict):
        keys = list(content)
        key = keys[int(chance.integers(len(keys)))]
        if chance.random() < 0.1:
            return {k: v for k, v in content.items() if k != key}
        return {**content, key: _replaced(content[key], chance)}
    at = int(chance.integers(len(content)))
    return [*content[:at], _replaced(content[at], chance), *content[at + 1 :]]


def _safetensors(data: bytes, chance: Chance) -> bytes:
    """The header changed as JSON, with its length; or a number in the tensors."""
    end = 8 + int.from_bytes(data[:8], "little")
    if chance.random() < 0.2:
        body = bytearray(data)
        at = end + int(chance.integers(max(1, len(data) - end)))
        body[at : at + 2] = b"\x00\x7e" if chance.random() < 0.5 else b"\x00\x7c"
        return bytes(body)
    header = _json(data[8:end], chance)
    return len(header).to_bytes(8, "little") + header + data[end:]


def _png(data: bytes, chance: Chance) -> bytes:
    """A chunk changed, with its checksum."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return _bytes(data, chance)
    number = int(chance.integers(len(chunks))) if chance.random() < 0.6 else 0
    kind, content = chunks[number]
    chunks[number] = kind, bytes(_integer(bytearray(content), chance))
    if chance.random() < 0.1:
        chunks.insert(number, chunks[int(chance.integers(len(chunks)))])
    return data[:8] + b"".join(
        len(c).to_bytes(4, "big") + k + c + zlib.crc32(k + c).to_bytes(4, "big") for k, c in chunks
    )
