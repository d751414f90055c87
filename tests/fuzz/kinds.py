"""Every kind of input: how it is changed, who reads it, and what would be accepted tampering."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from forensic.case.acquired import AcquiredExhibit  # noqa: F401 - the whole of verification is imported before the clock runs
from forensic.case.handover import read_transfer
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.errors import ForensicError, PolicyRefused
from forensic.frames.manifest import FrameRow
from forensic.frames.still import read_still
from forensic.hashes import canonical_json, parse_canonical
from forensic.ledger.audit import audit
from forensic.media.sandbox.process import Limits
from forensic.media.scan import scan
from forensic.policy.store import load_policy
from forensic.registry.card import ModelCard
from forensic.registry.cards import NOT_FETCHED, load_card, verify_card
from forensic.report.verification import check_report
from forensic.resources import data_root
from forensic.signing.certificate import read_certificate
from forensic.signing.checkpoint import parse_signed_checkpoint, parse_witness_request
from forensic.signing.note import parse_note, parse_signature_lines, parse_vkey
from forensic.signing.statement import RUN_PREDICATE, STILL_PREDICATE, verify_statement
from forensic.stages.recipe import load_recipe
from tests.fuzz import mutations as change
from tests.fuzz.child import DecodingChild
from tests.fuzz.corpus import seeds
from tests.fuzz.outcome import Finding

Examine = Callable[[bytes, bytes], str]
ACCEPTED = "accepted"


@dataclass(frozen=True)
class Kind:
    """``share``: inputs of this kind among 1000. ``own_clock``: the reader watches the time itself."""

    name: str
    share: int
    mutate: change.Mutation
    own_clock: bool = False


_MEDIA = {
    "avi": (90, change.mixed(change.avi_length, change.avi_length)),
    "mp4": (90, change.mixed(change.mp4_length, change.mp4_count)),
    "mkv": (80, change.blindly),
    "ts": (25, change.blindly),
    "h264": (55, change.blindly),
    "jpg": (60, change.blindly),
    "png": (70, change.mixed(change.png_chunk)),
    "gif": (15, change.blindly),
    "tif": (15, change.blindly),
    "bmp": (10, change.blindly),
    "webp": (10, change.blindly),
}
KINDS = tuple(
    [Kind(name, share, mutate, own_clock=True) for name, (share, mutate) in _MEDIA.items()]
    + [
        Kind("whole-way", 6, change.blindly, own_clock=True),
        Kind("recipe", 70, change.mixed(change.text_line)),
        Kind("card", 50, change.mixed(change.text_line)),
        Kind("policy", 40, change.mixed(change.text_line)),
        Kind("ledger", 40, change.mixed(change.sqlite_row, change.sqlite_row)),
        Kind("statement", 60, change.mixed(change.json_value)),
        Kind("still", 35, change.mixed(change.png_chunk)),
        Kind("report", 30, change.blindly),
        Kind("rows", 20, change.mixed(change.text_line, change.json_value)),
        Kind("transfer", 30, change.mixed(change.json_value)),
        Kind("note", 30, change.mixed(change.text_line)),
        Kind("request", 20, change.mixed(change.text_line)),
        Kind("answer", 15, change.mixed(change.text_line)),
        Kind("certificate", 15, change.mixed(change.text_line)),
        Kind("canonical", 15, change.mixed(change.json_value)),
        Kind("bundle", 20, change.mixed(change.zip_member, change.zip_member)),
        Kind("run", 8, change.blindly),
    ]
)


def _tampered(what: str) -> Finding:
    return Finding("tampering", f"accepted although {what}")


class Readers:
    """Context manager over the readers of all kinds; ``limit_s``: wall seconds for one input."""

    def __init__(self, corpus: Path, limit_s: float) -> None:
        self._corpus = corpus
        self._child = DecodingChild(limit_s)
        self._limit_s = limit_s

    def __enter__(self) -> Readers:
        self._scratch = Path(tempfile.mkdtemp(prefix="forensic-fuzz-"))
        return self

    def __exit__(self, *_: object) -> None:
        self._child.__exit__()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def seeds(self, kind: str) -> list[bytes]:
        """Seeds of ``kind``; some kinds share those of others."""
        if kind == "whole-way":
            return [seed for name in ("avi", "mp4", "mkv", "h264", "png") for seed in seeds(self._corpus, name)]
        if kind == "canonical":
            return seeds(self._corpus, "acquisition")
        if kind == "run":
            return [b"any file of the run"]
        return seeds(self._corpus, kind)

    def examine(self, kind: Kind, rng: random.Random, original: bytes, changed: bytes) -> str:
        """``accepted`` or a code. Raises :class:`Finding`, and whatever a reader raises that it must not."""
        if kind.name in _MEDIA:
            return self._child.examine(changed)
        if kind.name == "run":
            return self._run(rng)
        try:
            found: str | None = getattr(self, "_" + kind.name.replace("-", "_"))(original, changed)
        except ForensicError as error:
            if not re.fullmatch(r"[a-z]+(\.[a-z0-9-]+)+", error.code):
                raise Finding("traceback", f"an error without a code: {error!r}") from error
            return error.code
        return found or ACCEPTED

    def _file(self, name: str, data: bytes) -> Path:
        path = self._scratch / name
        path.write_bytes(data)
        return path

    def _whole_way(self, original: bytes, changed: bytes) -> None:
        manifest = self._scratch / "frames.jsonl"
        manifest.unlink(missing_ok=True)
        limits = Limits(memory=1 << 30, silent_s=self._limit_s, barren_s=2 * self._limit_s)
        try:
            scan(self._file("exhibit.bin", changed), manifest, limits=limits)
        except ForensicError as error:
            if error.code in ("media.decoder-failed", "media.decoder-breach", "media.decoder-timeout"):
                raise Finding("traceback", error.message) from error
            raise

    def _recipe(self, original: bytes, changed: bytes) -> None:
        load_recipe(self._file("recipe.toml", changed))

    def _card(self, original: bytes, changed: bytes) -> None:
        folder = self._scratch / "models"
        for shipped in sorted((data_root() / "models").iterdir()):
            card = shipped / "card.toml"
            if card.is_file() and card.read_bytes() == original:
                place = folder / shipped.name
                if not place.exists():
                    shutil.copytree(shipped, place)
                (place / "card.toml").write_bytes(changed)
                loaded = load_card(shipped.name, folder)
                if loaded.weights.pack is None:
                    verify_card(loaded)
                else:  # its weights are not shipped: nobody may take an absent file for a verified one
                    self._refused_unfetched(loaded)

    def _refused_unfetched(self, card: ModelCard) -> None:
        try:
            verify_card(card, self._scratch / "no-store")
        except PolicyRefused as refused:
            if refused.code == NOT_FETCHED:
                return
            raise
        raise Finding("tampering", f"{card.id}: weights that were never fetched were verified")

    def _policy(self, original: bytes, changed: bytes) -> None:
        folder = self._scratch / "policies"
        if not folder.exists():
            shutil.copytree(data_root() / "policies", folder)
        (folder / "fuzzed.cedar").write_bytes(changed)
        load_policy("fuzzed", folder)

    def _ledger(self, original: bytes, changed: bytes) -> str:
        path = self._file("ledger.sqlite", changed)
        for rest in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + rest).unlink(missing_ok=True)
        result = audit(path)
        if result.ok and _entries(path) != _entries(self._file("original.sqlite", original)):
            raise _tampered("the entries differ")
        return ACCEPTED if result.ok else "ledger.findings"

    def _statement(self, original: bytes, changed: bytes) -> str:
        kind = RUN_PREDICATE
        try:
            before = verify_statement(original, predicate_type=kind)
        except ForensicError:
            kind = STILL_PREDICATE
            before = verify_statement(original, predicate_type=kind)
        after = verify_statement(changed, predicate_type=kind)
        if after[1].payload != before[1].payload:
            raise _tampered("the payload differs")
        return ACCEPTED

    def _still(self, original: bytes, changed: bytes) -> str:
        still = read_still(changed)
        if still.rgb_matches:
            before = read_still(original)
            same_name = (still.timing, still.stage_class) == (before.timing, before.stage_class)
            if (
                same_name
                and still.planes_sha256 != before.planes_sha256
                and not _really(still.planes, still.planes_sha256)
            ):
                raise _tampered("the planes do not have the digest")
        return ACCEPTED if still.rgb_matches else "still.picture"

    def _report(self, original: bytes, changed: bytes) -> str:
        check = check_report(self._file("report.pdf", changed))
        if check.sound:
            before = check_report(self._file("original.pdf", original))
            if (check.attestation, check.signer_sha256, check.signature) != (
                before.attestation, before.signer_sha256, before.signature
            ) or _signed_bytes(changed) != _signed_bytes(original):  # fmt: skip
                raise _tampered("the report differs")
        return ACCEPTED if check.sound else "report.findings"

    def _rows(self, original: bytes, changed: bytes) -> None:
        for line in changed.splitlines():
            row = FrameRow.parse(line)
            if row.leaf() != line:
                raise _tampered("a row is not the leaf that it stands for")

    def _transfer(self, original: bytes, changed: bytes) -> None:
        if read_transfer(changed).predicate != read_transfer(original).predicate:
            raise _tampered("the transfer differs")

    def _note(self, original: bytes, changed: bytes) -> str:
        key = parse_vkey((self._corpus / "vkey").read_text())
        signed = parse_note(changed)
        if not signed.signed_by([key]):
            return "note.unsigned"
        checkpoint = parse_signed_checkpoint(changed)
        checkpoint.require_log([key])
        if signed.text != parse_note(original).text:
            raise _tampered("the text differs")
        return ACCEPTED

    def _request(self, original: bytes, changed: bytes) -> None:
        parse_witness_request(changed)

    def _answer(self, original: bytes, changed: bytes) -> None:
        parse_signature_lines(changed)

    def _certificate(self, original: bytes, changed: bytes) -> None:
        read_certificate(changed.decode("utf-8", "replace"))

    def _canonical(self, original: bytes, changed: bytes) -> None:
        if canonical_json(parse_canonical(changed)) != changed:
            raise _tampered("it is another form of the same value")

    def _bundle(self, original: bytes, changed: bytes) -> str:
        result = verify(self._file("bundle.zip", changed))
        if result.verdict is not Verdict.FAILED and _members(changed) != _members(original):
            raise _tampered("the content differs")
        return ACCEPTED if result.verdict is not Verdict.FAILED else "bundle.failed"

    def _run(self, rng: random.Random) -> str:
        """Any file of a run folder changed, left out or added."""
        (source,) = (self._corpus / "run").iterdir()
        folder = self._scratch / source.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        victim = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
        victim.chmod(0o644)
        data = victim.read_bytes()
        way = rng.random()
        if way < 0.1:
            victim.unlink()
        elif way < 0.2:
            (victim.parent / f"added-{victim.name}").write_bytes(data)
        else:
            victim.write_bytes(change.blindly(rng, data))
        result = verify(folder)
        if result.verdict is not Verdict.FAILED:
            raise _tampered(f"{victim.relative_to(folder)} was changed, removed or added")
        return "run.failed"


def _entries(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(entries)")]
        kept = ", ".join(f'"{name}"' for name in columns)
        return list(connection.execute(f"SELECT {kept} FROM entries ORDER BY seq"))  # noqa: S608


def _really(planes: tuple[object, ...], digest: str) -> bool:
    told = hashlib.sha256()
    for plane in planes:
        told.update(plane.tobytes())  # type: ignore[attr-defined]
    return told.hexdigest() == digest


def _signed_bytes(pdf: bytes) -> bytes:
    """What the byte range covers: all but the hexadecimal signature itself."""
    (found,) = re.findall(rb"/ByteRange ?\[ ?(\d+) (\d+) (\d+) (\d+) ?\]", pdf)[-1:] or [(b"0", b"0", b"0", b"0")]
    a, b, c, d = (int(number) for number in found)
    return pdf[a : a + b] + pdf[c : c + d]


def _members(data: bytes) -> dict[str, bytes]:
    import io

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}
