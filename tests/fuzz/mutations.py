"""Changes to files: blind ones, and ones that keep a format's frame so that the change reaches deeper."""

from __future__ import annotations

import base64
import binascii
import io
import json
import random
import re
import sqlite3
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

Mutation = Callable[[random.Random, bytes], bytes]

_EDGES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 0x7FFFFFFF,
          0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)  # fmt: skip
_WORDS = (
    b"\0", b"\xff", b"\x1b[31m", b"\xe2\x80\xae", b"\xed\xa0\x80", b"../", b"/etc/passwd",
    b"file:///etc/passwd",
    b"http://127.0.0.1/",
    b"NaN", b"-1", b"1e999", b"99999999999999999999", b"0x10", b"true", b"null", b"[]", b"{}", b"[[[[[[[[", b"<b>",
    b"%s%n", b"\\u0000", b'"""', b"=", b"#", b"\r", b"\n\n", b" ", b"AI-GENERATED DETAIL", b"generative",
)  # fmt: skip


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    """One to a few bits, anywhere or near the beginning."""
    changed = bytearray(data)
    reach = len(changed) if rng.random() < 0.6 else min(len(changed), 512)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_bytes(rng: random.Random, data: bytes) -> bytes:
    """A stretch of other bytes."""
    changed = bytearray(data)
    start = rng.randrange(len(changed))
    for place in range(start, min(len(changed), start + rng.choice((1, 2, 4, 16, 200)))):
        changed[place] = rng.randrange(256)
    return bytes(changed)


def truncate(rng: random.Random, data: bytes) -> bytes:
    """The beginning only, or the end only."""
    place = rng.randrange(1, len(data)) if len(data) > 1 else 0
    return data[:place] if rng.random() < 0.8 else data[place:]


def zero_run(rng: random.Random, data: bytes) -> bytes:
    """A stretch of zeros, as lost sectors leave it."""
    start, length = rng.randrange(len(data)), rng.choice((4, 16, 64, 512, 4096))
    return data[:start] + bytes(min(length, len(data) - start)) + data[start + length :]


def remove(rng: random.Random, data: bytes) -> bytes:
    """A stretch is missing."""
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice((1, 2, 4, 8, 64, 1000)) :]


def duplicate(rng: random.Random, data: bytes) -> bytes:
    """A stretch comes twice, or very often."""
    start = rng.randrange(len(data))
    piece = data[start : start + rng.choice((1, 4, 8, 64, 1000))]
    return data[:start] + piece * rng.choice((2, 2, 3, 50)) + data[start + len(piece) :]


def splice(rng: random.Random, data: bytes) -> bytes:
    """A stretch from elsewhere in the file."""
    source, target = rng.randrange(len(data)), rng.randrange(len(data))
    piece = data[source : source + rng.choice((4, 16, 64, 1000))]
    return data[:target] + piece + data[target + (len(piece) if rng.random() < 0.7 else 0) :]


def set_number(rng: random.Random, data: bytes) -> bytes:
    """A number of 1 to 8 bytes at an edge of its range, either byte order: sizes, counts, offsets."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2))):
        width = rng.choice((1, 2, 4, 4, 4, 8))
        if len(changed) <= width:
            break
        place = rng.randrange(len(changed) - width if rng.random() < 0.5 else min(len(changed) - width, 2048))
        value = rng.choice(_EDGES) + rng.choice((-1, 0, 0, 0, 1))
        order = "big" if rng.random() < 0.5 else "little"
        changed[place : place + width] = (value % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]
    return bytes(changed)


def insert_word(rng: random.Random, data: bytes) -> bytes:
    """Something that means something to somebody."""
    place = rng.randrange(len(data) + 1)
    drop = rng.choice((0, 0, 1, 8))
    return data[:place] + rng.choice(_WORDS) * rng.choice((1, 1, 1, 100)) + data[place + drop :]


BLIND: tuple[Mutation, ...] = (
    flip_bits, flip_bits, set_bytes, truncate, zero_run, remove, duplicate, splice, set_number, set_number,
    insert_word,
)  # fmt: skip


def blindly(rng: random.Random, data: bytes) -> bytes:
    """One to three blind changes; never the file itself."""
    changed = data
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        changed = rng.choice(BLIND)(rng, changed) or b"\0"
    return changed if changed != data else data + b"\0"


def _tagged(tags: tuple[bytes, ...], offset: int, order: str) -> Mutation:
    """A length field beside one of the four-letter ``tags``, ``offset`` bytes from it, gets another value."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        places = [found.start() for tag in tags for found in re.finditer(re.escape(tag), data)]
        places = [place + offset for place in places if 0 <= place + offset <= len(data) - 4]
        if not places:
            return blindly(rng, data)
        place = rng.choice(places)
        old = int.from_bytes(data[place : place + 4], order)  # type: ignore[arg-type]
        new = rng.choice((*_EDGES, old - 1, old + 1, old * 2, old // 2)) % (1 << 32)
        return data[:place] + new.to_bytes(4, order) + data[place + 4 :]  # type: ignore[arg-type]

    return mutate


mp4_length = _tagged(
    (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"stts", b"ctts", b"stsc", b"stsz", b"stco", b"elst",
     b"avcC", b"avc1", b"hdlr", b"dref", b"mvhd", b"tkhd", b"mdhd", b"udta", b"mdat", b"free"), -4, "big",
)  # fmt: skip
mp4_count = _tagged((b"stts", b"ctts", b"stsc", b"stsz", b"stco", b"elst", b"stsd", b"dref"), 8, "big")
avi_length = _tagged(
    (b"RIFF", b"LIST", b"avih", b"strh", b"strf", b"idx1", b"00dc", b"01wb", b"JUNK", b"indx"), 4, "little"
)


def png_chunk(rng: random.Random, data: bytes) -> bytes:
    """One chunk is changed and its checksum made right, or chunks change places."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + length]])
        at += 12 + length
    if not chunks:
        return blindly(rng, data)
    if rng.random() < 0.2:
        rng.shuffle(chunks)
    else:
        victim = rng.choice(chunks)
        if victim[0] == b"IDAT" and rng.random() < 0.5:
            try:
                victim[1] = zlib.compress(blindly(rng, zlib.decompress(victim[1])))
            except zlib.error:
                victim[1] = blindly(rng, victim[1])
        else:
            victim[1] = blindly(rng, victim[1] or b"\0")
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return data[:8] + body


def text_line(rng: random.Random, data: bytes) -> bytes:
    """Lines go, come twice, change places; numbers and words become others."""
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    what = rng.randrange(6)
    if what == 0:
        del lines[place]
    elif what == 1:
        lines.insert(place, lines[rng.randrange(len(lines))])
    elif what == 2:
        other = rng.randrange(len(lines))
        lines[place], lines[other] = lines[other], lines[place]
    elif what == 3:
        lines[place] = re.sub(
            rb"-?\d+(\.\d+)?", lambda _: rng.choice((b"0", b"-1", b"1e308", b"9" * 30, b"nan", b"''")), lines[place]
        )
    elif what == 4:
        lines[place] = re.sub(rb'"[^"]*"', lambda _: b'"' + rng.choice(_WORDS) + b'"', lines[place])
    else:
        lines[place] = blindly(rng, lines[place] or b" ")
    changed = b"\n".join(lines)
    return changed if changed != data else blindly(rng, data)


def _other_value(rng: random.Random, value: object) -> object:
    if isinstance(value, bool) or value is None:
        return rng.choice((True, False, None, 0, ""))
    if isinstance(value, int):
        return rng.choice((0, -1, value + 1, value - 1, 1 << 53, 1 << 70, str(value), None, 0.5))
    if isinstance(value, str):
        return rng.choice(("", value[:-1], value + "0", value.upper(), "\x1b[31m", "\u202e", "../x", 0, None, [value]))
    return rng.choice(({}, [], None, 0, "x"))


def _change_within(rng: random.Random, value: object) -> object:
    if isinstance(value, dict) and value:
        key = rng.choice(sorted(value))
        what = rng.random()
        changed = dict(value)
        if what < 0.1:
            del changed[key]
        elif what < 0.2:
            changed[rng.choice(("x", key + "2", ""))] = value[key]
        elif what < 0.3:
            changed[key] = _other_value(rng, value[key])
        else:
            changed[key] = _change_within(rng, value[key])
        return changed
    if isinstance(value, list) and value:
        place = rng.randrange(len(value))
        what = rng.random()
        if what < 0.15:
            return value[:place] + value[place + 1 :]
        if what < 0.3:
            return [*value[:place], value[place], *value[place:]]
        return [*value[:place], _change_within(rng, value[place]), *value[place + 1 :]]
    return _other_value(rng, value)


def json_value(rng: random.Random, data: bytes) -> bytes:
    """A JSON file stays one, with a value, key or list changed; base64 payloads are opened for it."""
    try:
        value = json.loads(data)
    except ValueError:
        return blindly(rng, data)
    if isinstance(value, dict) and isinstance(value.get("payload"), str) and rng.random() < 0.6:
        try:
            inner = json.loads(base64.b64decode(value["payload"]))
        except (ValueError, binascii.Error):
            return blindly(rng, data)
        changed = _change_within(rng, inner)
        payload = json.dumps(changed, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
        value = {**value, "payload": base64.b64encode(payload).decode()}
    else:
        value = _change_within(rng, value)
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return text if text != data else blindly(rng, data)


def zip_member(rng: random.Random, data: bytes) -> bytes:
    """An archive stays one: a member is changed, renamed, left out, or another comes in."""
    target = io.BytesIO()
    try:
        with (
            warnings.catch_warnings(),
            zipfile.ZipFile(io.BytesIO(data)) as old,
            zipfile.ZipFile(target, "w") as new,
        ):
            warnings.simplefilter("ignore")  # a name that comes twice is what is wanted
            members = old.infolist()
            victim = rng.choice(members)
            what = rng.randrange(5)
            for member in members:
                content = old.read(member)
                if member is victim:
                    if what == 0:
                        continue
                    if what == 1:
                        content = (
                            json_value(rng, content)
                            if member.filename.endswith(".json")
                            else blindly(rng, content or b"\0")
                        )
                    elif what == 2:
                        member.filename = rng.choice(
                            ("../" + member.filename, "/" + member.filename, member.filename.upper(), "x")
                        )
                    elif what == 3:
                        member.external_attr = 0o120777 << 16
                    else:
                        new.writestr(member, content)
                new.writestr(member, content)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return blindly(rng, data)
    return target.getvalue()


def sqlite_row(rng: random.Random, data: bytes) -> bytes:
    """A database stays one: a value of a row is changed, or a row goes or comes twice, triggers aside."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "changed.sqlite"
        path.write_bytes(data)
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=MEMORY")
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
                if rng.random() < 0.9:
                    connection.execute(f'DROP TRIGGER "{name}"')
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
            table = rng.choice([name for name in tables if not name.startswith("sqlite_")])
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            rowids = [row[0] for row in connection.execute(f'SELECT rowid FROM "{table}"')]  # noqa: S608
            if not rowids:
                return blindly(rng, data)
            row, column = rng.choice(rowids), rng.choice(columns)
            if rng.random() < 0.15:
                connection.execute(f'DELETE FROM "{table}" WHERE rowid=?', (row,))  # noqa: S608
            else:
                (old,) = connection.execute(f'SELECT "{column}" FROM "{table}" WHERE rowid=?', (row,)).fetchone()  # noqa: S608
                new: object
                if isinstance(old, bytes):
                    new = json_value(rng, old) if rng.random() < 0.5 else blindly(rng, old or b"\0")
                elif isinstance(old, str):
                    new = json_value(rng, old.encode()).decode("utf-8", "replace")
                else:
                    new = rng.choice((0, 1, (old or 0) + 1, -1, None, "x"))
                connection.execute(f'UPDATE "{table}" SET "{column}"=? WHERE rowid=?', (new, row))  # noqa: S608
        except sqlite3.Error:
            return blindly(rng, data)
        finally:
            connection.close()
        return path.read_bytes()


def mixed(*mutations: Mutation) -> Mutation:
    """One of ``mutations`` half of the time, else a blind change."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        changed = (rng.choice(mutations) if rng.random() < 0.5 else blindly)(rng, data) or b"\0"
        return changed if changed != data else blindly(rng, data)

    return mutate
