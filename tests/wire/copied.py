"""A slow decoder of COPY's text format, written from the PostgreSQL manual alone ("COPY", "Text Format"), and a writer.

It shares no code and no idea with `crates/wire`; where the two differ, one of them is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.wire.oracle import Malformed

NAMED = {"b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
"""What stands behind a backslash, and the byte that is meant."""


def row(message: bytes, columns: int) -> list[bytes | None]:
    """The cells of one row, which is one CopyData message."""
    if not message.endswith(b"\n"):
        raise Malformed("a row without its line end")
    line = message[:-1]
    if b"\n" in line:
        raise Malformed("two lines")
    cells = [] if columns == 0 and not line else line.split(b"\t")
    if len(cells) != columns:
        raise Malformed("not as many cells as columns")
    return [cell(text) for text in cells]


def cell(text: bytes) -> bytes | None:
    """One cell; a tab is always written as an escape by COPY TO, so none stands in it."""
    if text == b"\\N":
        return None
    value, left = bytearray(), text.decode("latin-1")
    while left:
        character, left = left[0], left[1:]
        if character == "\\":
            if not left:
                raise Malformed("a backslash with nothing behind it")
            byte, length = _escaped(left)
            value.append(byte)
            left = left[length:]
        else:
            value.append(ord(character))
    return bytes(value)


def _escaped(text: str) -> tuple[int, int]:
    """The byte that is meant by what follows a backslash, and how many characters say so."""
    if text[0] in NAMED:
        return NAMED[text[0]], 1
    for length in (3, 2, 1):
        digits = text[:length]
        if len(digits) == length and all(digit in "01234567" for digit in digits):
            return int(digits, 8) % 256, length
    for length in (2, 1):
        digits = text[1 : 1 + length]
        if text[0] == "x" and len(digits) == length and all(digit in "0123456789abcdefABCDEF" for digit in digits):
            return int(digits, 16), 1 + length
    return ord(text[0]), 1  # any other character stands for itself


def written(cells: Sequence[bytes | None]) -> bytes:
    """A row as the server's COPY TO writes it."""
    names = {byte: name for name, byte in NAMED.items()} | {ord("\\"): "\\"}
    texts = []
    for value in cells:
        if value is None:
            texts.append(b"\\N")
        else:
            texts.append(b"".join(b"\\" + names[byte].encode() if byte in names else bytes([byte]) for byte in value))
    return b"\t".join(texts) + b"\n"
