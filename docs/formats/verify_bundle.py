#!/usr/bin/env python3
"""A second, independent verifier of disclosure bundles: this file, Python 3.11 or later, and the package `cryptography`.

    python verify_bundle.py BUNDLE [--fingerprint SHA256] [--witness VKEY]... [--log-key VKEY]

It was written from bundle.md and the documents named there, and shares no code with the program that writes bundles. It
uses no network, and runs, writes and unpacks nothing. BUNDLE, a folder or a zip archive, is taken as hostile. Results
have the numbers of bundle.md, section 9, and verification.md. The first check that fails ends the examination, because
the later ones rest on it. The last line is OK (exit code 0) or FAILED with the reason (1).

Not checked: signatures of reports (use pdfsig), timestamps *.tsr (openssl ts -verify), pixels and coded samples (ffmpeg),
issuers and dates of certificates, approvals, order of acts of custody, whether related entries are related, what records
tell of the exhibit's history (H3, H4), the words of VERIFY.md. Without --fingerprint nothing shows who signed.
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
    need(envelope.keys() == {"payload", "payloadType", "signatures"} and envelope["payloadType"] == kind, "envelope")
    need(one.keys() == {"keyid", "sig"} | ({"cert"} if known is None else set()), "form of the signature")
    need(known is None or one["keyid"] in known, "signed by a key that is not in force")
    signer = Certificate(one["cert"]) if known is None else known[one["keyid"]]
    payload = unbase64(envelope["payload"])
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    signer.key.verify(unbase64(one["sig"]), signed, *signer.algorithm)
    need(signer.key_id == one["keyid"], "the certificate is not that of the key")
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
    """A bundle and its checks. What a check yields names the next one; ``files`` has digests by name."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.top, self.placed = options, "", set()
        self.places: dict[str, tuple[Path, int, int, int | None]] = {}  # by name: file, offset, size, CRC-32

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
            count, offset, directory = 0, 0, b""
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
        lines = self.read(name)[len(start) : -len(note)].decode().split("\n")[1:-2]
        need(self.read(name) == "\n".join([start, *lines, "", ""]).encode() + note, f"form of {name}")
        return [unbase64(line) for line in lines]

    def cosigned(self, folder: str, plain: Checkpoint, key: str) -> bytes:
        """Check cosignatures of a checkpoint; the text with them, or without if there are none."""
        self.placed |= {folder + "checkpoint.tsr"}
        if folder + "cosigned" not in self.files:
            return plain.data
        cosigned, known = Checkpoint(self.read(folder + "cosigned")), [*self.told["witnesses"], *self.options.witness]
        signers = cosigned.signers([key, *known])
        need(cosigned.data.startswith(plain.data) and signers[0] == key, "cosigned is another checkpoint")
        self.seen |= {(vkey, plain.size) for vkey in signers[1:]}
        return cosigned.data

    def container(self) -> Any:
        yield "B1 container: plain files, allowed names, every header of an archive as specified"
        (self.list_folder if self.options.bundle.is_dir() else self.list_archive)(self.options.bundle)
        folders = {name[:at] for name in self.places for at in range(len(name)) if name[at] == "/"}
        folded = [name.lower() for name in (*self.places, *folders)]
        need(len(set(folded)) == len(folded), "two names that differ only in case, or a file and a folder of one name")
        self.files = files = {name: self.load(name)[0] for name in sorted(self.places)}
        yield "B2-B4 exactly the files of a bag beside data/; both manifests list all files with their digests"
        data = {name: value for name, value in files.items() if name.startswith("data/")}
        need([name for name in files if name not in data] == TOP, "other files beside data/ than specified")
        need(self.read("bagit.txt") == b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n", "bagit.txt")
        for name, listed in ((TOP[4], data), (TOP[5], {name: files[name] for name in TOP[:5]})):
            need(self.read(name).decode() == "".join(f"{value}  {file}\n" for file, value in listed.items()), name)
        yield "B5, B6, K1 bundle.json is signed, and lists every file with its digest"
        self.told, subjects, self.signer = open_statement(self.read("bundle.json"), "bundle/v1")
        signed = [item for item in files.items() if item[0] not in ("bundle.json", TOP[5])]
        need([*subjects.items()] == signed, "the signed list is not that of the files")
        need(self.options.fingerprint in (None, self.signer.sha256), "K1: the signer has another fingerprint")

    def ledger(self) -> Any:
        yield "B7 the extract is well-formed, ascending, from workspace.created to bundle.issued"
        self.entries, last = [], {"v": 1, "seq": 0, "hash": "0" * 64}
        for line in self.read("data/ledger/entries.jsonl").removesuffix(b"\n").split(b"\n"):
            pair = parse(line)
            entry = parse(pair["entry"].encode())
            seq, more = entry["seq"], {"tree", "thread", "tally"} if entry["v"] == 2 else set()
            need(pair.keys() == {"entry", "envelope"} and entry.keys() == KEYS | more, f"the entry after {last['seq']}")
            need(type(seq) is int and last["seq"] < seq and last["v"] <= entry["v"] <= 2, f"order at entry {seq}")
            need((entry["event"] == "workspace.created") == (seq == 1), f"event of entry {seq}")
            need(last["seq"] + 1 < seq or entry["prev"] == last["hash"], f"entry {seq} does not follow the one before")
            last = entry | {"text": pair["entry"].encode(), "envelope": pair["envelope"].encode()}
            last["hash"] = digest(last["text"]).hex()
            self.entries.append(last)
        first, issued = self.entries[0], last
        need(first["seq"] == 1 and issued["event"] == "bundle.issued", "first or last entry")
        yield "B8 every entry is signed by its actor's key, in force at that place"
        self.keys, closed = {}, {}
        for entry in self.entries:
            event, seq, data = entry["event"], entry["seq"], entry["data"]
            new = Certificate(data["certificate"]) if event in ("workspace.created", "identity.introduced") else None
            known = {new.key_id: new} if seq == 1 else self.keys
            text, signer = open_envelope(entry["envelope"], "application/vnd.forensic.ledger-entry+json", known)
            actor = {"key_id": signer.key_id, "subject": signer.subject}
            need(text == entry["text"] and entry["actor"] == actor, f"what is signed, or the actor, of entry {seq}")
            if new:
                need(new.key_id not in closed and data.get("key_id", new.key_id) == new.key_id, f"key of entry {seq}")
                self.keys[new.key_id] = new
            if event in ("identity.retired", "identity.revoked"):
                again = (closed.get(data["key_id"]), event) == ("identity.retired", "identity.revoked")
                need((again or self.keys.pop(data["key_id"])) and self.keys, f"entry {seq} closes no key, or the last")
                closed[data["key_id"]] = event
        yield "B12, N5, N7 the checkpoint is this ledger's, by the log's key, covers bundle.issued; cosignatures hold"
        named = [entry for entry in self.entries if entry["event"] == "log.key-introduced"]
        log = {entry["data"]["vkey"]: entry["seq"] for entry in named if entry["data"]["purpose"] == "log"}
        key, self.seen, self.uuid = [*log][-1], set(), first["data"]["workspace"]
        head = self.head = Checkpoint(self.read("data/ledger/checkpoint"))
        need(head.origin == f"forensic-ledger/{self.uuid}" and head.size >= issued["seq"], "origin or size")
        need(head.signers([key]) == [key] and self.options.log_key in (None, key), "signed by another key of the log")
        note = self.cosigned("data/ledger/", head, key)
        yield "B9 every entry has its inclusion proof"
        for entry in self.entries:
            name, index = f"data/ledger/proofs/{entry['seq']:010d}.tlog-proof", entry["seq"] - 1
            path = self.proof(name, f"c2sp.org/tlog-proof@v1\nindex {index}", note)
            need(climb(digest(b"\0", entry["text"]), index, head.size - 1, path)[1] == head.root, f"{name} does not hold")
        yield "B13 every other checkpoint is the log's, and consistent with this one"
        for folder in sorted({name[:33] for name in self.files if name.startswith("data/ledger/anchors/")}):
            other = Checkpoint(self.read(folder + "checkpoint"))
            need(folder == f"data/ledger/anchors/{other.size:010d}/" and other.origin == head.origin, f"origin of {folder}")
            (key,) = other.signers([vkey for vkey, seq in log.items() if seq <= other.size])
            self.cosigned(folder, other, key)
            small, large = sorted((head, other), key=lambda one: one.size)
            index, last = small.size - 1, large.size - 1
            start, *path = [small.root] * (small.size & index == 0) + self.proof(
                folder + "consistency", f"old {small.size}", large.data)
            while index % 2:
                index, last = index // 2, last // 2
            need(climb(start, index, last, path) == (small.root, large.root), f"{folder}consistency does not hold")
        yield "B10 nothing is left out of the thread; key and related entries are those that bundle.issued lists"
        about, data = "case" if issued["run"] is None else "exhibit", issued["data"]
        self.thread, before, runs = [entry for entry in self.entries if entry[about] == issued[about]], 0, {None: None}
        for entry in self.thread:
            run, seq = entry["run"], entry["seq"]
            link = {about: before, "run": runs.get(run, 0)}
            need(entry["v"] == 1 or link.items() <= entry["thread"].items(), f"something before entry {seq} is left out")
            before = runs[run] = seq
            runs[None] = None
        prefixes = ("workspace.created", "identity.", "authority.", "log.")
        keys = [entry["seq"] for entry in self.entries if entry["event"].startswith(prefixes)]
        early = range(1, max((entry["seq"] for entry in self.thread if entry["v"] == 1), default=0) + 1)
        wanted = {*keys, *early, *data["related_entries"], *(entry["seq"] for entry in self.thread)}
        need(keys == data["key_entries"] and wanted == {entry["seq"] for entry in self.entries}, "other entries than listed")
        yield "B11 events stand in a possible order"
        acquired, runs = {None: None}, {None: "run.refused"}
        for entry in self.entries:
            event, run, exhibit = entry["event"], entry["run"], entry["exhibit"]
            if event == "exhibit.acquired":
                need(exhibit not in acquired, f"entry {entry['seq']} acquires an exhibit again")
                acquired[exhibit] = entry["case"]
            if event.startswith("run."):
                need((run not in runs) == (event in ("run.started", "run.refused")), f"entry {entry['seq']}")
                need(runs.get(run) not in ENDS and (runs.get(run) != "run.interrupted" or event in RESUME), f"{entry['seq']}")
                need(event != "run.started" or exhibit is None or acquired[exhibit] == entry["case"], f"{entry['seq']}")
                runs[run] = event

    def contents(self) -> Any:
        yield "B14 the description says what the extract says; names and signer are right"
        told, issued, first = self.told, self.entries[-1], self.entries[0]
        run, choice, files = issued["run"], issued["data"]["originals"], self.files
        ends = {entry["run"]: entry for entry in self.thread if entry["event"].startswith("run.")}
        self.runs = [end for name, end in sorted(ends.items()) if end["event"] == ENDS[0] and run in (None, name)]
        self.exhibits = [entry for entry in self.thread if entry["event"] == "exhibit.acquired"]
        gone = {entry["exhibit"] for entry in self.thread if entry["event"] in GONE}
        stage_class = max((end["data"]["stage_class"] for end in self.runs), key=CLASSES.index, default=CLASSES[0])
        exhibits = []
        for entry in self.exhibits:
            data, sha256, original = entry["data"], entry["data"]["sha256"], None
            name = f"data/exhibits/{sha256}/original{data['suffix']}"
            need(HEX.fullmatch(sha256) and SUFFIX.fullmatch(data["suffix"]), "exhibit")
            if choice == "include" and (entry["exhibit"] not in gone or name in files):
                original = name
            exhibits.append({"id":..., })
        slug = ...
        what = run or "case-" + slug
        name = AI * (stage_class == CLASSES[3]) + f"bundle-{what}-{issued['seq']:06d}"
        expected = {
            "schema": KIND + "bundle/v1", "tool": told["tool"], "name": name, "scope": "run" if run else "case",
            "case": issued["case"], "exhibit": issued["exhibit"], "run": run, "workspace": {"id": self.uuid},
            "issued": {"seq": issued["seq"], "hash": issued["hash"], "utc": issued["time"]["utc"]},
            "checkpoint": {"size": head.size, "root": head.root.hex(), "sha256": files["data/ledger/checkpoint"]},
            "originals": choice, "stage_class": stage_class, "label": LABEL if stage_class == CLASSES[3] else None,
            "exhibits": exhibits, "runs": [...], "other_runs": [...], "models": told["models"], "witnesses": told["witnesses"]}
        for key in expected.keys() | told.keys():
            need(told[key] == expected[key], f"{key}")
        info = ...
