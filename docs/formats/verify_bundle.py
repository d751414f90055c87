#!/usr/bin/env python3
"""A second, independent verifier of disclosure bundles: this file, Python 3.11 or later, and the package `cryptography`.

    python verify_bundle.py BUNDLE [--fingerprint SHA256] [--witness VKEY]... [--log-key VKEY]

Written from bundle.md and the documents named there; it shares no code with the program that writes bundles. It uses no
network, and runs, writes and unpacks nothing. BUNDLE is a folder or a zip archive, and taken as hostile. Results have the
numbers of bundle.md, section 9, and verification.md. The first check that fails ends the examination, because later ones
rest on it. The last line is OK (exit code 0) or FAILED with the reason (1).

Not checked: signatures of reports (use pdfsig), timestamps *.tsr (openssl ts -verify), pixels and coded samples (ffmpeg),
issuers and dates of certificates, order of acts of custody, approvals, what records tell of the exhibit's history,
whether related entries are related, the words of VERIFY.md. Without --fingerprint nothing here shows who signed.
"""

# fmt: off
from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import struct
import sys
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

CLASSES, KIND = ["presentation", "geometric", "fidelity", "generative"], "tag:forensic-tool,2026:"
LABEL, AI = "AI-GENERATED DETAIL — NOT EVIDENCE", "AI-GENERATED-NOT-EVIDENCE-"
ENDS = ["run.finished", "run.failed", "run.cancelled", "run.refused"]
TOP = ["VERIFY.md", "bag-info.txt", "bagit.txt", "bundle.json", "manifest-sha256.txt", "tagmanifest-sha256.txt"]
KEYS = {"v", "seq", "prev", "time", "actor", "event", "case", "exhibit", "run", "data"}
WIDE_FROM = MARK = 0xFFFFFFFF  # from where on a field of a zip is too small, and what then stands in it
SEGMENT = r"(?!(?i:con|prn|aux|nul|com[1-9]|lpt[1-9])(?:[./]|\Z))[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?"
NAME, HEX = re.compile(rf"{SEGMENT}(?:/{SEGMENT})*"), re.compile(r"[0-9a-f]{64}")
PEM = re.compile(r"-----BEGIN (CERTIFICATE|X509 CRL)-----\n([A-Za-z0-9+/=\n]+)-----END \1-----\n?")
NOTE = re.compile("([^\n]+)\n([1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n\n((?:— [^ \n]+ [A-Za-z0-9+/]+=*\n)+)")

def need(holds: object, why: str) -> None:
    if not holds:
        raise ValueError(why)

def digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()

def canonical(value: Any) -> str:
    """The one form of a JSON value (RFC 8785): keys sorted by UTF-16 units, no white space, numbers as ECMAScript."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if value is None or isinstance(value, str | bool):
        return json.dumps(value, ensure_ascii=False)
    sign, digits, exponent = Decimal(repr(float(value))).as_tuple()  # repr, too, gives the fewest digits that suffice
    figures, point = "".join(map(str, digits)).rstrip("0"), len(digits) + int(exponent)
    if not -6 < point <= 21:
        return "-" * sign + figures[0] + "." * (len(figures) > 1) + figures[1:] + f"e{point - 1:+d}"
    figures, point = "0" * (1 - point) + figures, max(point, 1)
    return "-" * sign + figures[:point].ljust(point, "0") + "." * (len(figures) > point) + figures[point:]

def parse(data: bytes) -> Any:
    """Read JSON; refuse all but its one form: that excludes a key twice, inexact numbers and lone surrogates, too."""
    value = json.loads(data.decode())
    need(canonical(value).encode() == data, "JSON that is not canonical")
    return value

def unbase64(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 in another than its one form")
    return data

def der(pem: str) -> bytes:
    need(match := PEM.fullmatch(pem), "not one PEM block with nothing around it")
    return unbase64(match[2].replace("\n", ""))

class Certificate:
    def __init__(self, pem: str) -> None:
        certificate, spki = x509.load_der_x509_certificate(der(pem)), serialization.PublicFormat.SubjectPublicKeyInfo
        self.key: Any = certificate.public_key()
        self.algorithm = () if isinstance(self.key, ed25519.Ed25519PublicKey) else (ec.ECDSA(hashes.SHA256()),)
        need(not self.algorithm or isinstance(self.key.curve, ec.SECP256R1), "a key that is neither P-256 nor Ed25519")
        self.key_id = digest(self.key.public_bytes(serialization.Encoding.DER, spki)).hex()
        self.sha256, self.subject = digest(der(pem)).hex(), certificate.subject.rfc4514_string()

def open_envelope(data: bytes, kind: str, known: dict[str, Certificate] | None = None) -> tuple[bytes, Certificate]:
    """Payload and signer of a DSSE envelope with one signature, verified. With ``known`` no certificate is in it."""
    envelope = parse(data)
    (one,) = envelope["signatures"]
    signer, payload = Certificate(one["cert"]) if known is None else known[one["keyid"]], unbase64(envelope["payload"])
    form = {"keyid": signer.key_id, "sig": one["sig"]} | ({"cert": one["cert"]} if known is None else {})
    need(envelope == {"payload": envelope["payload"], "payloadType": kind, "signatures": [form]}, "form of the envelope")
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    signer.key.verify(unbase64(one["sig"]), signed, *signer.algorithm)
    return payload, signer

def open_statement(data: bytes, kind: str) -> tuple[dict[str, Any], dict[str, str], Certificate]:
    """Predicate, subjects (digest by name) and signer of an in-toto statement of one kind (attestation.md)."""
    payload, signer = open_envelope(data, "application/vnd.in-toto+json")
    statement = parse(payload)
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    need(subjects and all(map(HEX.fullmatch, subjects.values())) and statement == {
        "_type": "https://in-toto.io/Statement/v1", "predicateType": KIND + kind, "predicate": statement["predicate"],
        "subject": [{"name": name, "digest": {"sha256": value}} for name, value in subjects.items()]}, "statement")
    return statement["predicate"], subjects, signer

def tree_root(leaves: list[bytes]) -> bytes:
    """Root of the Merkle tree of RFC 9162, section 2.1."""
    if len(leaves) < 2:
        return digest(b"\0", *leaves) if leaves else digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return digest(b"\1", tree_root(leaves[:half]), tree_root(leaves[half:]))

def climb(start: bytes, index: int, last: int, path: list[bytes]) -> tuple[bytes, bytes]:
    """From node ``index`` of 0 … ``last`` to the roots of the tree that ends with it, and of all: the one loop of
    RFC 9162, 2.1.3.2 (inclusion: the second root) and 2.1.4.2 (consistency: both)."""
    old = new = start
    for sibling in path:
        need(last > 0, "a proof that is too long")
        if index % 2 or index == last:
            old, new = digest(b"\1", sibling, old), digest(b"\1", sibling, new)
            while index and not index % 2:
                index, last = index // 2, last // 2
        else:
            new = digest(b"\1", new, sibling)
        index, last = index // 2, last // 2
    need(last == 0, "a proof that is too short, or a place outside of the tree")
    return old, new

class Checkpoint:
    """A signed note about a tree (bundle.md, section 6)."""

    def __init__(self, data: bytes) -> None:
        need(found := NOTE.fullmatch(data.decode()), "not a checkpoint")
        self.data, self.text = data, data[:data.index(b"\n\n") + 1]
        self.origin, self.size, self.root = found[1], int(found[2]), unbase64(found[3])
        self.lines = [line.split(" ")[1:] for line in found[4].splitlines()]

    def signers(self, vkeys: list[str]) -> list[str]:
        """Whose the lines are, in order: each must be by one of these verifier keys, and verify."""
        known, signers = {}, []
        for vkey in vkeys:
            name, key_id, key = *vkey.split("+", 2)[:2], unbase64(vkey.split("+", 2)[2])
            need(len(key) == 33 and digest(name.encode(), b"\n", key)[:4].hex() == key_id, "a verifier key that is none")
            known[name, key_id] = vkey, key[0], ed25519.Ed25519PublicKey.from_public_bytes(key[1:])
        for name, line in ((name, unbase64(text)) for name, text in self.lines):
            need((name, line[:4].hex()) in known, f"a signature by {name}, whose key is not known")
            vkey, kind, public = known[name, line[:4].hex()]
            when = b"cosignature/v1\ntime %d\n" % int.from_bytes(line[4:12]) if kind == 4 else b""
            public.verify(line[12 if when else 4:], when + self.text)
            signers.append(vkey)
        return signers

def zip_headers(name: bytes, size: int, crc: int, offset: int) -> list[bytes]:
    """Header before a file, and its line in the directory (section 1)."""
    wide, far, headers = [size, size] * (size >= WIDE_FROM), [offset] * (offset >= WIDE_FROM), []
    attributes = struct.pack("<3H2I", 0, 0, 0, 0o100644 << 16, MARK if far else offset)
    for sign, values, after in ((b"PK\3\4", wide, b""), (b"PK\1\2", wide + far, attributes)):
        version, extra = (45, struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)) if values else (10, b"")
        made, short = struct.pack("<H", 0x300 + version) if after else b"", MARK if wide else size
        fields = struct.pack("<5H3I2H", version, 0, 0, 0, 0x21, crc, short, short, len(name), len(extra))
        headers.append(sign + made + fields + after + name + extra)
    return headers

class Bundle:
    """Where the files of a bundle lie. All names and headers are checked before a file is read."""
    def __init__(self, path: Path) -> None:
        self.places: dict[str, tuple[Path, int, int, int | None]] = {}  # by name: file, offset, size, CRC-32
        self.top, self.placed = "", set[str]()
        (self.list_folder if path.is_dir() else self.list_archive)(path)
        folders = {name[:at] for name in self.places for at in range(len(name)) if name[at] == "/"}
        folded = [name.lower() for name in (*self.places, *folders)]
        need(len(set(folded)) == len(folded), "two names that differ only in case, or a file and a folder of one name")
        self.files = {name: self.load(name)[0] for name in sorted(self.places)}  # digests by name

    def add(self, name: str, *place: Any) -> None:
        need(NAME.fullmatch(name) and len(name) <= 240 and name not in self.places, f"the name {name}")
        need(len(self.places) < 200_000, "more than 200,000 files")
        self.places[name] = place

    def list_folder(self, path: Path) -> None:
        for folder, subfolders, files in os.walk(path):
            need(subfolders or files, f"the empty folder {folder}")
            for item in (Path(folder, name) for name in subfolders + files):
                need(not item.is_symlink() and (item.is_file() or item.is_dir()), f"{item} is a link or device")
                if item.is_file():
                    self.add(item.relative_to(path).as_posix(), item, 0, item.stat().st_size, None)

    def list_archive(self, path: Path) -> None:
        """Go from header to header; build each, and the directory, anew; refuse if one byte differs."""
        with path.open("rb") as file:
            count, offset, directory = 0, 0, bytearray()
            while (head := file.read(30))[:4] == b"PK\3\4":
                crc, size, name_length, extra_length = struct.unpack("<14xI4xI2H", head)
                name, extra = file.read(name_length), file.read(extra_length)
                size = struct.unpack("<4xQ8x", extra)[0] if size == MARK else size
                before, line = zip_headers(name, size, crc, offset)
                need(before == head + name + extra, f"the header of {name!r}")
                self.add(name.decode(), path, file.tell(), size, crc)
                count, offset, directory = count + 1, file.seek(size, os.SEEK_CUR), directory + line
            length, short = len(directory), [MARK if many >= WIDE_FROM else many for many in (len(directory), offset)]
            if MARK in short or count >= 0xFFFF:
                directory += struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 0x32D, 45, 0, 0, count, count, length, offset)
                directory += struct.pack("<4sIQI", b"PK\6\7", 0, offset + length, 1)
            directory += struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, *[min(count, 0xFFFF)] * 2, *short, 0)
            need(head + file.read(len(directory)) == directory, "directory or end of the archive")
        need([*self.places] == sorted(self.places), "names that are not in order")
        (self.top,) = {name.split("/")[0] for name in self.places}
        self.places = {name.split("/", 1)[1]: place for name, place in self.places.items()}

    def load(self, name: str, most: int = 0) -> tuple[str, bytes]:
        """Digest of a file, its size and CRC-32 checked; and its content, if that is at most ``most`` bytes."""
        (path, offset, left, crc), now, sha256, parts = self.places[name], 0, hashlib.sha256(), []
        keep = left <= most
        with path.open("rb") as file:
            file.seek(offset)
            while left and (part := file.read(min(left, 1 << 20))):
                left, now = left - len(part), zlib.crc32(part, now)
                sha256.update(part)
                parts += [part] * keep
        need(left == 0 and crc in (None, now), f"the content of {name}")
        return sha256.hexdigest(), b"".join(parts)

    def read(self, name: str) -> bytes:
        sha256, data = self.load(name, 512 << 20)
        need((sha256, len(data)) == (self.files[name], self.places[name][2]), f"{name} changed, or is over 512 MiB")
        self.placed.add(name)
        return data

    def proof(self, name: str, start: str, note: bytes) -> list[bytes]:
        """Hashes of an inclusion proof or consistency request, which begins and ends as given."""
        lines = self.read(name)[len(start):-len(note)].decode().split("\n")[1:-2]
        need(self.read(name) == "\n".join([start, *lines, "\n"]).encode() + note, f"form of {name}")
        return [unbase64(line) for line in lines]

    def cosigners(self, plain: Checkpoint, key: str, witnesses: list[str]) -> tuple[bytes, list[str]]:
        """A checkpoint's text with cosignatures (without, if there are none), and whose these are."""
        name = plain.folder + "cosigned"
        ...

def checks(bundle: Bundle, options: argparse.Namespace) -> Any:
    """All checks but the first, in order; what is yielded names the next one."""
    files, read = bundle.files, bundle.read
    yield "B2-B4 exactly the files of a bag beside data/; both manifests list all files with their digests"
    data = {name: value for name, value in files.items() if name.startswith("data/")}
    need([name for name in files if name not in data] == TOP, "other files beside data/ than specified")
    need(read("bagit.txt") == b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n", "bagit.txt")
    for name, listed in ((TOP[4], data), (TOP[5], {name: files[name] for name in TOP[:5]})):
        need(read(name).decode() == "".join(f"{value}  {file}\n" for file, value in listed.items()), name)

    yield "B5, B6, K1 bundle.json is signed, and lists every file with its digest"
    told, subjects, signer = open_statement(read("bundle.json"), "bundle/v1")
    signed = [item for item in files.items() if item[0] not in ("bundle.json", TOP[5])]
    need([*subjects.items()] == signed, "the signed list is not that of the files")
    need(options.fingerprint in (None, signer.sha256), "K1: the signer has another fingerprint")

    yield "B7 the extract is well-formed, ascending, from workspace.created to bundle.issued"
    entries, last = [], {"v": 1, "seq": 0, "hash": "0" * 64}
    for line in read("data/ledger/entries.jsonl").removesuffix(b"\n").split(b"\n"):
        pair = parse(line)
        entry = parse(pair["entry"].encode())
        seq, more = entry["seq"], {"tree", "thread", "tally"} if entry["v"] == 2 else set()
        need(pair.keys() == {"entry", "envelope"} and entry.keys() == KEYS | more, f"the entry after {last['seq']}")
        need(type(seq) is int and last["seq"] < seq and last["v"] <= entry["v"] <= 2, f"order at entry {seq}")
        need((entry["event"] == "workspace.created") == (seq == 1), f"event of entry {seq}")
        need(last["seq"] + 1 < seq or entry["prev"] == last["hash"], f"entry {seq} does not follow the one before")
        last = entry | {"text": pair["entry"].encode(), "envelope": pair["envelope"].encode()}
        last["hash"] = digest(last["text"]).hex()
        entries.append(last)
    first, issued = entries[0], last
    need(first["seq"] == 1 and issued["event"] == "bundle.issued", "first or last entry")

    yield "B8 every entry is signed by its actor's key, in force at that place"
    force, closed = {}, {}
    for entry in entries:
        event, seq, data = entry["event"], entry["seq"], entry["data"]
        new = Certificate(data["certificate"]) if event in ("workspace.created", "identity.introduced") else None
        known = {new.key_id: new} if seq == 1 else force
        text, by = open_envelope(entry["envelope"], "application/vnd.forensic.ledger-entry+json", known)
        actor = {"key_id": by.key_id, "subject": by.subject}
        need(text == entry["text"] and entry["actor"] == actor, f"what is signed, or the actor, of entry {seq}")
        if new:
            need(new.key_id not in closed and data.get("key_id", new.key_id) == new.key_id, f"key of entry {seq}")
            force[new.key_id] = new
        if event in ("identity.retired", "identity.revoked"):
            again = (closed.get(data["key_id"]), event) == ("identity.retired", "identity.revoked")
            need((again or force.pop(data["key_id"])) and force, f"entry {seq} closes no key, or the last")
            closed[data["key_id"]] = event

    yield "B9, B12, B13, N5, N7 checkpoints are the log's, consistent, cosigned; every entry is in the tree"
    named = [entry for entry in entries if entry["event"] == "log.key-introduced"]
    log = {entry["data"]["vkey"]: entry["seq"] for entry in named if entry["data"]["purpose"] == "log"}
    cosigned, key, head = set(), [*log][-1], Checkpoint(read("data/ledger/checkpoint"))
    need(head.origin == "forensic-ledger/" + first["data"]["workspace"] and head.size >= issued["seq"], "origin or size")
    need(head.signers([key]) == [key] and options.log_key in (None, key), "N7: the log's key is another one")
    anchors = sorted({name[:33] for name in files if name.startswith("data/ledger/anchors/")})
    for folder in ("data/ledger/", *anchors):
        one = Checkpoint(read(folder + "checkpoint"))
        keys = [vkey for vkey, seq in log.items() if seq <= one.size]
        need(folder in ("data/ledger/", f"data/ledger/anchors/{one.size:010d}/") and one.origin == head.origin, folder)
        (key,) = one.signers(keys)
        bundle.placed.add(folder + "checkpoint.tsr")
        if folder + "cosigned" in files:
            note = Checkpoint(read(folder + "cosigned"))
            by, *others = note.signers([key, *told["witnesses"], *options.witness])
            need(note.data.startswith(one.data) and by == key, f"{folder}cosigned is about another checkpoint")
            cosigned |= {(vkey, one.size) for vkey in others}
        if folder != "data/ledger/":
            small, large = sorted((head, one), key=lambda one: one.size)
            proof = bundle.proof(folder + "consistency", f"old {small.size}", large.data)
            index, end = small.size - 1, large.size - 1
            start, *path = proof if index & small.size else [small.root, *proof]
            while index % 2:
                index, end = index // 2, end // 2
            need(climb(start, index, end, path) == (small.root, large.root), f"{folder}consistency does not hold")
    note = read("data/ledger/" + ("cosigned" if "data/ledger/cosigned" in files else "checkpoint"))
    for entry in entries:
        name, index = f"data/ledger/proofs/{entry['seq']:010d}.tlog-proof", entry["seq"] - 1
        path = bundle.proof(name, f"c2sp.org/tlog-proof@v1\nindex {index}", note)
        need(climb(digest(b"\0", entry["text"]), index, head.size - 1, path)[1] == head.root, f"{name} does not hold")

    yield "B10 nothing is left out of the thread; key and related entries are those that bundle.issued lists"
    about = "case" if issued["run"] is None else "exhibit"
    thread, before, runs = [entry for entry in entries if entry[about] == issued[about]], 0, {}
    for entry in thread:
        links = {about: before} | ({"run": runs.get(entry["run"], 0)} if entry["run"] else {})
        need(entry["v"] == 1 or links.items() <= entry["thread"].items(), f"something is left out before {entry['seq']}")
        before = runs[entry["run"]] = entry["seq"]
    prefixes, listed = ("workspace.created", "identity.", "authority.", "log."), issued["data"]
    keys = [entry["seq"] for entry in entries if entry["event"].startswith(prefixes)]
    early = range(1, max((entry["seq"] for entry in thread if entry["v"] == 1), default=0) + 1)
    wanted = {*keys, *early, *listed["related_entries"], *(entry["seq"] for entry in thread)}
    need(keys == listed["key_entries"] and wanted == {entry["seq"] for entry in entries}, "other entries than listed")

    yield "B11 events stand in a possible order"
    acquired, runs = {}, {None: "run.refused"}
    for entry in entries:
        event, run, exhibit = entry["event"], entry["run"], entry["exhibit"]
        if event == "exhibit.acquired":
            need(exhibit and exhibit not in acquired, f"entry {entry['seq']} acquires an exhibit again")
            acquired[exhibit] = entry
        if event.startswith("run."):
            fits = runs.get(run) not in ENDS and (run in runs) != (event in ("run.started", "run.refused"))
            paused = runs.get(run) == "run.interrupted" and event not in ("run.resumed", *ENDS)
            late = event == "run.started" and exhibit and acquired[exhibit]["case"] != entry["case"]
            need(fits and not paused and not late, f"entry {entry['seq']}: {event} cannot stand here")
            runs[run] = event

    yield "B14 the description says what the extract says; names and signer are right"
    run, choice = issued["run"], issued["data"]["originals"]
    ends = {entry["run"]: entry for entry in thread if entry["event"].startswith("run.")}
    done = {name: end for name, end in sorted(ends.items()) if end["event"] == ENDS[0] and run in (None, name)}
    gone = {entry["exhibit"] for entry in thread if entry["event"].startswith(("custody.destr"))}
    stage_class = max((end["data"]["stage_class"] for end in done.values()), key=CLASSES.index, default=CLASSES[0])
    shown = {"exhibits": [], "runs": [], "other_runs": []}
    for entry in (entry for entry in thread if entry["event"] == "exhibit.acquired"):
        data = entry["data"]
        name = f"data/exhibits/{data['sha256']}/original{data['suffix']}"
        need(NAME.fullmatch(name) and HEX.fullmatch(data["sha256"]), f"form of entry {entry['seq']}")
        here = choice == "include" and (name in files or entry["exhibit"] not in gone)
        shown["exhibits"].append({
            "id": entry["exhibit"], "case": entry["case"], "sha256": data["sha256"], "size": data["size"],
            "original": name if here else None, "destroyed": entry["exhibit"] in gone})
    ...
