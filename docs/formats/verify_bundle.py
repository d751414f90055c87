"""A second, independent verifier of disclosure bundles: this file, Python 3.11 or later, the package `cryptography`.

Written from bundle.md and the documents named there; it shares no code with the program that writes bundles. BUNDLE, a
folder or a zip archive, is taken as hostile; nothing is run, written, unpacked or sent. Checks have the numbers of
bundle.md, section 9; the first that fails ends the examination. The last line is OK (exit code 0) or FAILED (1):

    python verify_bundle.py BUNDLE [--fingerprint SHA256] [--witness VKEY]... [--log-key VKEY]
Not checked: who signed (compare --fingerprint), signatures of reports (use pdfsig), timestamps *.tsr (openssl ts),
pixels and stills (ffmpeg), issuers and dates of certificates, acts of custody, approvals, what records tell of other
attempts and interruptions, whether related entries are related, verdicts of validations, the words of VERIFY.md.
"""

# fmt: off
import argparse
import base64
import hashlib
import json
import re
import struct
import zlib
from decimal import Decimal
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

CLASSES, KIND = ["presentation", "geometric", "fidelity", "generative"], "tag:forensic-tool,2026:"
LABEL, ENDS = "AI-GENERATED DETAIL — NOT EVIDENCE", ["run.finished", "run.failed", "run.cancelled", "run.refused"]
TOP = ["VERIFY.md", "bag-info.txt", "bagit.txt", "bundle.json", "manifest-sha256.txt", "tagmanifest-sha256.txt"]
TEXT, SUM, LINK = r'"(?:[^"\\\0-\x1f\x7f-\x9f]|\\["\\])+"', r'"[0-9a-f]{64}"', r"(?:null|0|[1-9]\d{0,15})"
ENTRY = re.compile(  # an entry of the ledger in canonical form, without its data (ledger.md, section 2)
    rf'{{"actor":{{"key_id":{SUM},"subject":{TEXT}}},"case":(null|{TEXT}),"data":{{}},'
    rf'"event":"[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)+","exhibit":(null|{TEXT}),"prev":{SUM},"run":(null|{TEXT}),'
    rf'"seq":[1-9]\d{{0,15}},(?P<new>"tally":{SUM},"thread":{{"case":{LINK},"exhibit":{LINK},"run":{LINK}}},)?'
    rf'"time":{{"clock_regression":(true|false),"monotonic_ns_since_previous":{LINK},"session":"[0-9a-f-]{{36}}",'
    rf'"source":{TEXT},"utc":"\d{{4}}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{{6}}Z"}},'
    rf'(?(new)"tree":{{"root":{SUM},"size":{LINK}}},"v":2|"v":1)}}', re.ASCII)
CLOSING = ("manifest.sha256", "attestation.json", "report.pdf")
MEASURED = ("result.json", "suite.toml")  # of a validation, beside those; TERMS: what was registered of it
TERMS = ("suite", "requirements", "conditions", "pictures", "deviations", "command")
WIDE_FROM = MARK = 0xFFFFFFFF  # from where on a field of a zip is too small, and what then stands in it
SEGMENT = r"(?!(?i:con|prn|aux|nul|com[1-9]|lpt[1-9])(?:[./]|\Z))[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?"
NAME, HEX = re.compile(rf"{SEGMENT}(?:/{SEGMENT})*"), re.compile(r"[0-9a-f]{64}")
AI = r"(\.AI-GENERATED-NOT-EVIDENCE)?"  # in the names of files that show generated detail, since 0.3.0
RECORDED = re.compile(rf"output{AI}\.mkv|(frames|notes)\.jsonl|recipe\.toml|policy\.cedar(schema)?|risk/(regions\.json|"
    rf"\d{{6,}}\.(risk|level|invented|overlay{AI})\.png)|stills/(\d{{6,}}(\.source)?{AI}\.png(\.json)?|"
    rf"beside/\d{{6,}}\.png|labelled-source/\d{{6,}}{AI}\.png)|fusion/\d{{6,}}\.(weights|effective|even|odd)\.png|"
    r"calibration/((calibration|registration|attestation)\.json|recordings\.csv|report\.pdf)", re.ASCII)
NOTE = re.compile("([^\n]+)\n([1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n\n((?:— [^ \n]+ [A-Za-z0-9+/]+=*\n)+)")

def need(holds: object, why: str) -> None:
    if not holds:
        raise ValueError(why)

def digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()

def canonical(value: object) -> str:
    """The one form of a JSON value (RFC 8785): keys sorted by UTF-16 units, no white space, numbers as ECMAScript."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if value is None or isinstance(value, str | bool):
        return json.dumps(value, ensure_ascii=False)
    text = repr(float(value)).removesuffix(".0")  # Python, too, writes the fewest digits; only exponents look different
    return f"{Decimal(text):f}" if -7 < int(text.partition("e")[2] or 0) < 21 else text.replace("e-0", "e-")

def parse(data: bytes) -> dict:
    """Read JSON; refuse all but its one form: that excludes a key twice, inexact numbers and lone surrogates, too."""
    value = json.loads(data.decode(), parse_constant=int)  # so Infinity and NaN are errors
    need(canonical(value).encode() == data, "JSON that is not canonical")
    return value

def unbase64(text: str) -> bytes:
    need(base64.b64encode(data := base64.b64decode(text, validate=True)).decode() == text, "base64 in another form")
    return data

class Certificate:
    def __init__(self, pem: str) -> None:
        certificate, form = x509.load_pem_x509_certificate(pem.encode()), serialization.PublicFormat
        need(certificate.public_bytes(serialization.Encoding.PEM).decode() == pem, "not one PEM block and nothing else")
        self.key = certificate.public_key()
        self.algorithm = () if isinstance(self.key, ed25519.Ed25519PublicKey) else (ec.ECDSA(hashes.SHA256()),)
        need(not self.algorithm or isinstance(self.key.curve, ec.SECP256R1), "a key that is neither P-256 nor Ed25519")
        self.key_id = digest(self.key.public_bytes(serialization.Encoding.DER, form.SubjectPublicKeyInfo)).hex()
        self.sha256, self.subject = certificate.fingerprint(hashes.SHA256()).hex(), certificate.subject.rfc4514_string()

def open_envelope(data: bytes, kind: str, known: dict[str, Certificate] | None = None) -> tuple[bytes, Certificate]:
    """Payload and signer of a DSSE envelope with one signature, verified. With ``known`` no certificate is in it."""
    envelope = parse(data)
    (one,) = envelope["signatures"]
    signer, payload = Certificate(one["cert"]) if known is None else known[one["keyid"]], unbase64(envelope["payload"])
    form = {"keyid": signer.key_id, "sig": one["sig"]} | ({"cert": one["cert"]} if known is None else {})
    need(envelope == {"payload": envelope["payload"], "payloadType": kind, "signatures": [form]}, "envelope")
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    signer.key.verify(unbase64(one["sig"]), signed, *signer.algorithm)
    return payload, signer

def open_statement(data: bytes, kind: str) -> tuple[dict, dict[str, str], Certificate]:
    """Predicate, subjects (digest by name) and signer of an in-toto statement of one kind (attestation.md)."""
    payload, signer = open_envelope(data, "application/vnd.in-toto+json")
    statement = parse(payload)
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    need(subjects and all(map(HEX.fullmatch, subjects.values())) and statement == {
        "_type": "https://in-toto.io/Statement/v1", "predicateType": KIND + kind, "predicate": statement["predicate"],
        "subject": [{"name": name, "digest": {"sha256": value}} for name, value in subjects.items()]}, "statement")
    return statement["predicate"], subjects, signer

def climb(start: bytes, index: int, last: int, path: list[bytes]) -> tuple[bytes, bytes]:
    """From node ``index`` of 0 to ``last`` to the roots of the tree ending with it, and of all (RFC 9162, 2.1.4.2)."""
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

class Checkpoint:  # a signed note about a tree (bundle.md, section 6)
    def __init__(self, data: bytes) -> None:
        need(found := NOTE.fullmatch(data.decode()), "not a checkpoint")
        self.data, self.text = data, data[:data.index(b"\n\n") + 1]
        self.origin, self.size, self.root = found[1], int(found[2]), unbase64(found[3])
        self.lines = [line.split(" ")[1:] for line in found[4].splitlines()]
    def signers(self, vkeys: list[str]) -> list[str]:
        """Whose the lines are: each must be by one of these verifier keys and verify, the first as the log's."""
        signers, keys = [], {}
        for vkey in vkeys:
            name, key_id, text = vkey.split("+", 2)
            key = unbase64(text)
            need(len(key) == 33 and digest(name.encode(), b"\n", key)[:4].hex() == key_id, f"{vkey} is no verifier key")
            keys[name, key_id] = vkey, key
        for name, line in ((name, unbase64(text)) for name, text in self.lines):
            vkey, key = keys[name, line[:4].hex()]  # a key error: nobody's who is known here
            need(key[0] == (4 if signers else 1), "a witness's key in the place of the log's, or the reverse")
            head = b"cosignature/v1\ntime %d\n" % int.from_bytes(line[4:12]) if signers else b""
            ed25519.Ed25519PublicKey.from_public_bytes(key[1:]).verify(line[12 if signers else 4:], head + self.text)
            signers.append(vkey)
        return signers

def zip_header(name: bytes, size: int, crc: int, offset: int | None = None) -> bytes:
    """Header before a file or, with its offset, its line in the directory (bundle.md, section 1)."""
    wide = [number for number in (size, size, offset or 0) if number >= WIDE_FROM]
    narrow = [MARK if number in wide else number for number in (size, size, offset or 0)]
    version, extra = (45, struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide)) if wide else (10, b"")
    fields = struct.pack("<5H3I2H", version, 0, 0, 0, 0x21, crc, *narrow[:2], len(name), len(extra))
    made, place = struct.pack("<H", 0x300 + version), struct.pack("<3H2I", 0, 0, 0, 0o100644 << 16, narrow[2])
    return (b"PK\3\4" + fields if offset is None else b"PK\1\2" + made + fields + place) + name + extra

class Bag:  # the files of a bundle; all names and headers are checked before a file is read
    def __init__(self, path: Path) -> None:
        self.places: dict[str, tuple[Path, int, int, int | None]] = {}  # by name: file, offset, size, CRC-32
        self.files, self.top, self.used = dict[str, str](), "", set[str]()  # files: digests; used: have a place
        (self.list_folder if path.is_dir() else self.list_archive)(path)
        folders = {name[:at] for name in self.places for at in range(len(name)) if name[at] == "/"}
        folded = [name.lower() for name in (*self.places, *folders)]
        need(len(set(folded)) == len(folded) < 400_000, "names that differ only in case, or too many files")
        bad = [name for name in self.places if not NAME.fullmatch(self.top + name) or len(self.top + name) > 240]
        need(not bad, f"names that are not allowed: {bad[:3]}")
        for name in sorted(self.places):
            self.read(name, keep=False)
    def list_folder(self, path: Path) -> None:
        for item in path.rglob("*"):
            folder = item.is_dir() and any(item.iterdir())
            need(not item.is_symlink() and (folder or item.is_file()), f"{item}: a link, device or empty folder")
            if not folder:
                self.places[item.relative_to(path).as_posix()] = item, 0, item.stat().st_size, None
    def list_archive(self, path: Path) -> None:  # builds every header and the directory anew, and compares
        offset, last, directory = 0, b"", bytearray()
        with path.open("rb") as file:
            while (head := file.read(30))[:4] == b"PK\3\4":
                crc, size, name_length, extra_length = struct.unpack("<14xI4xI2H", head)
                name, extra = file.read(name_length), file.read(extra_length)
                size = struct.unpack("<4xQ8x", extra)[0] if size == MARK else size
                need(zip_header(name, size, crc) == head + name + extra, f"the header of {name!r}")
                self.top = self.top or name.decode().partition("/")[0] + "/"
                need(last < name and name.decode().startswith(self.top), f"{name!r}: the order, or a second folder")
                self.places[name.decode().removeprefix(self.top)] = path, file.tell(), size, crc
                directory += zip_header(name, size, crc, offset)
                offset, last = file.seek(size, 1), name
            count, length = len(self.places), len(directory)
            short = [MARK if number >= WIDE_FROM else number for number in (length, offset)]
            if MARK in short or count >= 0xFFFF:
                directory += struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 0x32D, 45, 0, 0, count, count, length, offset)
                directory += struct.pack("<4sIQI", b"PK\6\7", 0, offset + length, 1)
            directory += struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, *[min(count, 0xFFFF)] * 2, *short, 0)
            need(head + file.read(len(directory)) == directory, "directory or end of the archive")
    def read(self, name: str, keep: bool = True) -> bytes:  # checks CRC-32 and digest, where they are known
        (path, offset, size, crc), now, sha256, parts = self.places[name], 0, hashlib.sha256(), []
        need(not keep or size <= 512 << 20, f"{name} has more than 512 MiB")
        with path.open("rb") as file:
            file.seek(offset)
            while size and (part := file.read(min(1 << 20, size))):
                size, now, _ = size - len(part), zlib.crc32(part, now), sha256.update(part)
                parts += [part] * keep
        same = self.files.setdefault(name, sha256.hexdigest()) == sha256.hexdigest() and crc in (None, now)
        need(same and size == 0, f"{name} changed, or its CRC-32 or size is another")
        self.used |= {name} if keep else set()
        return b"".join(parts)
    def proof(self, name: str, start: str, note: bytes) -> list[bytes]:  # the hashes between start and note
        lines = self.read(name)[len(start):-len(note)].decode().split("\n")[1:-2]
        need(self.read(name) == "\n".join([start, *lines, "\n"]).encode() + note, f"form of {name}")
        return [unbase64(line) for line in lines]
    def signed(self, folder: str, kind: str) -> tuple:  # digests of a signed folder's files, record, names of reports
        inside = {name.removeprefix(folder): value for name, value in self.files.items() if name.startswith(folder)}
        lines = ["", *(f"{value}  {name}" for name, value in inside.items() if name != CLOSING[0])]
        need(sorted(self.read(folder + CLOSING[0]).decode().split("\n")) == sorted(lines), "M: manifest.sha256")
        record, subjects, by = open_statement(signed := self.read(folder + CLOSING[1]), kind)
        pdfs = {name for name in inside if re.fullmatch(r"report(-superseded-[1-9][0-9]*)?\.pdf", name)}
        rest = {name: inside[name] for name in inside.keys() - pdfs - {*CLOSING}}
        usual = kind != "run/v1" or all(map(RECORDED.fullmatch, rest))
        need(subjects == rest and CLOSING[2] in pdfs and usual, "A4, A5: the record is about other files")
        need(by.sha256 == record["examiner"]["identity"]["certificate_sha256"], "A2: the record's signer is another")
        need(all(signed in self.read(folder + name) for name in pdfs), "R3: a report with another record")
        self.used |= {folder + name for name in inside} | {f"data/timestamps/{inside[name]}.tsr" for name in pdfs}
        return inside, record, pdfs
    def frames_root(self, folder: str, first: int, count: int) -> str:  # of frames.jsonl (frames.md), its rows counted
        *lines, end = self.read(name := folder + "frames.jsonl").split(b"\n")
        need(end == b"" and len(lines) == count, f"the number of rows in {name}")
        need([parse(line)["frame"] for line in lines] == [*range(first, first + count)], f"frames missing in {name}")
        row = [digest(b"\0", line) for line in lines]
        while len(row) > 1:  # pairs are joined, an odd one at the end goes up unchanged
            row = [digest(b"\1", *row[at:at + 2]) if at + 1 < len(row) else row[at] for at in range(0, len(row), 2)]
        return (row or [digest()])[0].hex()

def checks(options: argparse.Namespace):  # yields the name of each before it is made; ``e`` is an entry of the ledger
    yield "B1 container: plain files, allowed names, every header of an archive as specified"
    files, read, base = (bag := Bag(options.bundle)).files, bag.read, "data/ledger/"
    yield "B2-B4 exactly the files of a bag beside data/; both manifests list all files with their digests"
    payload = {name: value for name, value in files.items() if name.startswith("data/")}
    need([name for name in files if name not in payload] == TOP, "other files beside data/ than specified")
    need(read(TOP[2]) == b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n", "bagit.txt")
    for name, listed in ((TOP[4], payload), (TOP[5], {name: files[name] for name in TOP[:5]})):
        need(read(name).decode() == "".join(f"{value}  {file}\n" for file, value in listed.items()), name)
    yield "B5, B6 bundle.json is signed, and lists every file with its digest"
    told, subjects, signer = open_statement(read("bundle.json"), "bundle/v1")
    need([*subjects.items()] == [item for item in files.items() if item[0] not in (TOP[3], TOP[5])], "B6: another list")
    yield "B7 the extract is well-formed, ascending, from workspace.created to bundle.issued"
    entries, last, (*lines, end) = [], {"v": 1, "seq": 0, "hash": "0" * 64}, read(base + "entries.jsonl").split(b"\n")
    for line in lines:
        pair = parse(line)
        e = parse(text := pair.pop("entry").encode())
        seq, envelope, links = e["seq"], pair.pop("envelope"), e.get("thread", {})
        form = not pair and isinstance(e["data"], dict) and ENTRY.fullmatch(canonical(e | {"data": {}}))
        fits = all((e[key] is None) == (links[key] is None) and (links[key] or 0) < seq for key in links)
        need(form and fits and e.get("tree", {}).get("size", seq - 1) == seq - 1, f"form after {last['seq']}")
        need(last["seq"] < seq and e["v"] in (last["v"], 2), f"order at entry {seq}")
        need(last["seq"] + 1 < seq or e["prev"] == last["hash"], f"entry {seq} does not follow the one before")
        entries.append(last := e | {"text": text, "envelope": envelope.encode(), "hash": digest(text).hex()})
    first, issued, of = entries[0], last, lambda event: [e for e in entries if e["event"] == event]
    need([of("workspace.created"), first["seq"], issued["event"], end] == [[first], 1, "bundle.issued", b""], "ends")
    yield "B8 every entry is signed by its actor's key, in force at that place"
    force, closed, seen = {(root := Certificate(first["data"]["certificate"])).key_id: root}, {}, {signer.sha256}
    for e in entries:
        event, seq, data = e["event"], e["seq"], e["data"]
        text, by = open_envelope(e["envelope"], "application/vnd.forensic.ledger-entry+json", force)
        need((text, e["actor"]) == (e["text"], {"key_id": by.key_id, "subject": by.subject}), f"signer of entry {seq}")
        seen.add(by.sha256)
        if event == "identity.introduced":
            new = Certificate(data["certificate"])
            need(new.key_id not in closed and data["key_id"] == new.key_id, f"key that entry {seq} introduces")
            force[new.key_id] = new
        if event in ("identity.retired", "identity.revoked"):
            again = (closed.get(data["key_id"]), event) == ("identity.retired", "identity.revoked")
            need((again or force.pop(data["key_id"])) and force, f"entry {seq} closes no key, or the last")
            closed[data["key_id"]] = event
    yield f"K1 bundle.json is signed by {signer.subject}, certificate's SHA-256 fingerprint {signer.sha256}"
    need(options.fingerprint in (None, *seen), "no certificate with the fingerprint that you named signed anything")
    yield "B12, B13, N5, N7 checkpoints are the log's, consistent, and cosigned by nobody unknown"
    log = [(e["seq"], e["data"]["vkey"]) for e in of("log.key-introduced") if e["data"]["purpose"] == "log"]
    head, uuid = Checkpoint(read(base + "checkpoint")), first["data"]["workspace"]
    need(options.log_key in (None, log[-1][1]), "N7: the log has another key than you named")
    need(head.origin == "forensic-ledger/" + uuid and head.size >= issued["seq"], "origin or size of the checkpoint")
    for folder in sorted({name[:31] for name in files if name.startswith(base + "anchors/")} | {base}, reverse=True):
        one = Checkpoint(read(folder + "checkpoint"))
        note = read(folder + "cosigned") if folder + "cosigned" in files else one.data
        (key,) = one.signers([vkey for seq, vkey in log if seq <= one.size][-1:])
        by, *others = Checkpoint(note).signers([key, *told["witnesses"], *options.witness])
        need(note.startswith(one.data) and by == key, f"{folder}cosigned is about another checkpoint")
        yield from (f"N5: {vkey} cosigned the first {one.size} entries" for vkey in {*others} & {*options.witness})
        bag.used.add(folder + "checkpoint.tsr")
        if folder != base:
            need(folder == f"{base}anchors/{one.size:010d}/" and one.origin == head.origin, f"{folder}: another one")
            small, large = sorted((head, one), key=lambda one: one.size)
            proof = bag.proof(folder + "consistency", f"old {small.size}", large.data)
            start, *path = proof if small.size & small.size - 1 else [small.root, *proof]
            skip = (small.size & -small.size).bit_length() - 1  # the last whole subtree of the small tree is that high
            need((small.root, large.root) == climb(start, small.size - 1 >> skip, large.size - 1 >> skip, path), folder)
    yield "B9 every entry has its inclusion proof"
    for e in entries:
        name, index = f"{base}proofs/{e['seq']:010d}.tlog-proof", e["seq"] - 1
        path = bag.proof(name, f"c2sp.org/tlog-proof@v1\nindex {index}", note)
        need(climb(digest(b"\0", e["text"]), index, head.size - 1, path)[1] == head.root, f"{name} does not hold")
    yield "B10 nothing is left out of the thread; key and related entries are those that bundle.issued lists"
    run, about = issued["run"], "case" if issued["run"] is None else "exhibit"
    thread, before, runs = [e for e in entries if e[about] == issued[about]], 0, {}
    for e in thread:
        links = {about: before} | ({"run": runs.get(e["run"], 0)} if e["run"] else {})
        need(e["v"] == 1 or links.items() <= e["thread"].items(), f"something is left out before entry {e['seq']}")
        before = runs[e["run"]] = e["seq"]
    about_keys = [e for e in entries if e["event"].startswith(("workspace.created", "identity.", "authority.", "log."))]
    early = range(1, max((e["seq"] for e in thread if e["v"] == 1), default=0) + 1)
    wanted = {*early, *issued["data"]["related_entries"], *(e["seq"] for e in about_keys + thread)}
    listed = [e["seq"] for e in about_keys] == issued["data"]["key_entries"]
    need(listed and wanted == {e["seq"] for e in entries}, "other entries than listed")
    yield "B11 events stand in a possible order"
    acquired, states = {e["exhibit"]: e for e in of("exhibit.acquired")}, {None: "run.failed"}
    need(len(acquired) == len(of("exhibit.acquired")) and None not in acquired, "an exhibit acquired twice")
    for e in (e for e in entries if e["event"].startswith("run.")):
        event, state = e["event"], states.get(e["run"])
        source = acquired[e["exhibit"]] if event == "run.started" and e["exhibit"] else e
        fits = state not in ENDS and (state is None) == (event in ("run.started", "run.refused"))
        fits &= state != "run.interrupted" or event in ("run.resumed", *ENDS)
        need(fits and source["case"] == e["case"] and source["seq"] <= e["seq"], f"{event} of entry {e['seq']}")
        states[e["run"]] = event
    yield "B14, B15, B20 the description says what the extract says; exhibits, names and labels are right"
    choice, ends = issued["data"]["originals"], {e["run"]: e for e in thread if e["event"] in ENDS}
    done = {name: e for name, e in sorted(ends.items()) if e["event"] == ENDS[0] and run in (None, name)}
    others = sorted({e["run"] for e in thread if e["run"]} - done.keys())
    gone = {e["exhibit"] for e in of("custody.destruction-started") + of("custody.destroyed")}
    shown = [e for e in thread if e["event"] == "exhibit.acquired"]
    ranks = [e["data"].get("stage_class", CLASSES[0]) for e in (*done.values(), *shown)]
    exhibits, ai = [], (highest := max(ranks, key=CLASSES.index, default=CLASSES[0])) == CLASSES[-1]
    for e in shown:
        data, folder, lost = e["data"], f"data/exhibits/{e['data']['sha256']}/", e["exhibit"] in gone
        have, frames = choice == "include" and not lost, data["frames"]
        names = [folder + name for name in ("frames.jsonl", "acquisition.json", "original" + data["suffix"])]
        exhibits.append({"id": e["exhibit"], "case": e["case"], "sha256": data["sha256"], "size": data["size"],
                         "original": names[2] if have else None, "destroyed": lost})
        held = dict(zip(names, (frames["manifest_sha256"], data["acquisition_sha256"], data["sha256"]), strict=True))
        bag.used |= {*names[:2 + have]}
        need(all(files[name] == held[name] for name in names[:2 + have]), f"B15: files of exhibit {e['exhibit']}")
        need(bag.frames_root(folder, 0, frames["count"]) == frames["merkle_root"], f"B15: frames of {e['exhibit']}")
    slug = re.sub("[^A-Za-z0-9-]+", "_", issued["case"] or "").strip("_-")[:40].strip("_-") or "x"
    name = "AI-GENERATED-NOT-EVIDENCE-" * ai + f"bundle-{run or 'case-' + slug}-{issued['seq']:06d}"
    expected = {
        "schema": KIND + "bundle/v1", "tool": told["tool"], "name": name, "scope": "run" if run else "case", "run": run,
        "case": issued["case"], "exhibit": issued["exhibit"], "workspace": {"id": uuid}, "originals": choice,
        "issued": {"seq": issued["seq"], "hash": issued["hash"], "utc": issued["time"]["utc"]},
        "checkpoint": {"size": head.size, "root": head.root.hex(), "sha256": files[base + "checkpoint"]},
        "stage_class": highest, "label": LABEL if ai else None, "exhibits": exhibits, "witnesses": told["witnesses"],
        "runs": [{"id": name, "exhibit": e["exhibit"], "folder": f"data/runs/{name}/",
                  "stage_class": e["data"]["stage_class"]} for name, e in done.items()], "models": told["models"],
        "other_runs": [{"id": name, "end": ends[name]["event"] if name in ends else "unfinished"} for name in others]}
    expected |= {key: issued["data"][key] for key in ("validations",) if key in issued["data"]}
    need(canonical(told) == canonical(expected), f"{[key for key in expected if told.get(key) != expected[key]]}")
    need(run in (None, *done) and signer.sha256 == force[issued["actor"]["key_id"]].sha256, "no run, or another signer")
    kind, warning = f"run {run}" if run else "a case", "AI-GENERATED DETAIL, NOT EVIDENCE. " * ai
    need(read("bag-info.txt").decode() == (
        f"Bagging-Date: {issued['time']['utc'][:10]}\nExternal-Description: {warning}Disclosure of {kind}: "
        f"{len(exhibits)} exhibits, {len(done)} finished runs, {len(others)} other runs; originals: {choice}\n"
        f"External-Identifier: {name}\nPayload-Oxum: {sum(bag.places[p][2] for p in payload)}.{len(payload)}\n"), "B2")
    need(bag.top in ("", name + "/") and (not ai or LABEL in read(TOP[0]).decode()), "the folder's name, or B20: label")
    models, told_of = set(), {e["seq"]: e["hash"] for e in entries}
    for run, end in done.items():
        yield f"B16, B17 run {run}: M, A2-A5, R3, F, C2, C3"
        folder, mine, data = f"data/runs/{run}/", [e for e in entries if e["run"] == run], end["data"]
        inside, record, pdfs = bag.signed(folder, "run/v1")
        exhibit, policy, output, place = (record[key] for key in ("exhibit", "policy", "output", "workspace"))
        frames, source = output["frames"], acquired[exhibit["id"]]
        ended = {"attestation_sha256": inside["attestation.json"], "output_sha256": inside[output["file"]],
                 "output_merkle_root": bag.frames_root(folder, frames["first"], frames["count"]),
                 "frames": frames["count"], "stage_class": output["stage_class"]}
        issues = [data, *(e["data"] for e in mine if e["event"] == "report.issued")]
        named = {one["file"]: one["sha256"] for one in (issue["superseded"] for issue in issues[1:]) if one}
        named |= {"report.pdf": issues[-1]["report_sha256"], "manifest.sha256": issues[-1]["manifest_sha256"]}
        need(ended.items() <= data.items() and ended["output_merkle_root"] == frames["merkle_root"], "C2, F: the end")
        need({name: inside[name] for name in (*pdfs, CLOSING[0])} == named, "C2: other reports than recorded")
        same = all(source["data"][key] == exhibit[key] for key in ("sha256", "size"))
        need(same and source["data"]["frames"].items() <= exhibit["frames"].items(), "C3: another exhibit")
        ids = {(e["case"], e["exhibit"], e["run"]) for e in (source | {"run": run}, *mine)}
        need(ids == {(record["case"]["id"], exhibit["id"], record["run"]["id"])}, "A3, C3: another run or exhibit")
        decisions = [e["data"]["decision"] for e in mine if e["event"] == "policy.decided"]
        need(decisions == [policy] and policy["allowed"] is True, "C3: another decision of the policy")
        cited = [place["ledger_head"], *record.get("custody", {}).get("events", [])]
        need(place["id"] == uuid and all(told_of.get(e["seq"], e["hash"]) == e["hash"] for e in cited), "B17, H3")
        models |= {(model["id"], model["card_sha256"], model["weights_sha256"]) for model in record["models"]}
    for one in issued["data"].get("validations", []):
        yield f"B21 validation {one['id']}: M, A2, A4, A5, R3, V4"
        begun, ended = (e for e in entries if e["data"].get("validation") == one["id"])
        need([begun["event"], ended["event"]] == ["validation.registered", "validation.completed"], "V4: other entries")
        inside, record, *_ = bag.signed(folder := f"data/validations/{one['id']}/", "validation/v1")
        need({*CLOSING, *MEASURED} <= inside.keys() <= {*CLOSING, *MEASURED, "master.json"}, "A5: other files")
        need(read(folder + MEASURED[0]) == canonical(record).encode(), "V1: result.json is not the record")
        held = {f"{name.partition('.')[0]}_sha256": inside[name] for name in CLOSING} | {"verdict": record["verdict"]}
        held["registered"], terms = begun["seq"], record | {"command": record["validation"]["command"]}
        need(all(canonical(terms[key]) == canonical(begun["data"][key]) for key in TERMS), "V4: not as registered")
        need(record["examiner"]["identity"]["key_id"] == ended["actor"]["key_id"], "V4: completed by another")
        said = {"registered": begun["seq"], "completed": ended["seq"], "manifest_sha256": inside[CLOSING[0]]}
        need(one == {"id": one["id"]} | said, "B21: not what bundle.issued lists")
        place = {"utc": begun["time"]["utc"]} | {key: begun[key] for key in ("seq", "hash")}
        need(record["validation"]["registered"] == place and held.items() <= ended["data"].items(), "V4")
    yield "B18, B19 models and certificates are those of the records and the extract; every file has its place"
    rows = [{"id": name, "card_sha256": card, "weights_sha256": weights} for name, card, weights in sorted(models)]
    cards = {(f"data/models/{name}/card.toml", card) for name, card, _ in models}
    need(told["models"] == rows and {(one, files[one]) for one in payload if one[5:12] == "models/"} <= cards, "B18")
    for data in (e["data"] for e in about_keys):
        for pem in {*data.get("chain", []), data.get("certificate"), data.get("list")} - {None}:
            value = digest(base64.b64decode("".join(pem.split("\n")[1:-2]))).hex()
            need(read(f"data/certificates/{value}{'.crl' * ('X509 CRL' in pem)}.pem").decode() == pem, value)
    need(payload.keys() <= bag.used | dict(cards).keys(), f"no place for {payload.keys() - bag.used}")

def main(arguments: list[str] | None = None) -> int:
    parser, title = argparse.ArgumentParser(description="Verify a disclosure bundle."), ""
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--fingerprint", type=lambda text: text.replace(":", "").lower())
    parser.add_argument("--witness", action="append", default=[])
    parser.add_argument("--log-key")
    try:
        for title in checks(parser.parse_args(arguments)):
            print(ascii(title)[1:-1])
    except Exception as fault:  # noqa: BLE001 (whatever hostile input raises ends the examination as a failure)
        print("FAILED:", ascii(f"{title.split()[0].strip(',')}: {type(fault).__name__}: {fault}")[1:-1])
        return 1
    print(str(__doc__).split("\n\n")[-1] + "OK")
    return 0
if __name__ == "__main__":
    raise SystemExit(main())
