"""The signature, seen by our own check and by Poppler and OpenSSL as peers; and every way to break it."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

from forensic.errors import BadInput, UsageError
from forensic.report.verification import check_report
from forensic.report.wording import verification
from forensic.signing.identity import Identity
from forensic.signing.signer import FileKey
from tests.report.conftest import SIGNED
from tests.report.example_run import ExampleRun, build_run
from tests.report.files import sign_pdf

Damage = Callable[[bytes], Path]


def test_a_signed_report_is_sound(report: Path, run: ExampleRun, identity: Identity) -> None:
    check = check_report(report)
    assert check.findings == []
    assert check.sound and check.intact and check.valid and check.covers_whole_document and check.certified_no_changes
    assert (check.signature_count, check.modification_level) == (1, "NONE")
    assert check.signer_sha256 == identity.facts()["certificate_sha256"]
    assert check.signer_subject == identity.subject
    assert check.signing_time == SIGNED
    assert check.attestation == run.attestation


def test_pdfsig_agrees(report: Path) -> None:
    told = subprocess.run(["pdfsig", str(report)], capture_output=True, text=True, check=False).stdout
    assert "Signature is Valid." in told
    assert "Total document signed" in told
    assert "ETSI.CAdES.detached" in told
    assert told.count("Signature #") == 1


def test_a_reader_opens_the_report_and_finds_the_record(report: Path, run: ExampleRun) -> None:
    reader = pypdf.PdfReader(report, strict=True)
    assert dict(reader.attachments) == {"attestation.json": [run.attestation]}
    assert reader.metadata is not None and "2026-0147" in str(reader.metadata.title)


def test_the_printed_commands_work(tmp_path: Path, run: ExampleRun, report: Path) -> None:
    """Every command of the section on checking, run as printed; the output video is another area's test."""
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    shutil.copy(report, folder / "report.pdf")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    listed = subprocess.run(["sha256sum", *names], cwd=folder, capture_output=True, check=True).stdout
    (folder / "manifest.sha256").write_bytes(listed)
    outputs = {}
    for step in verification("steps"):
        if step.get("manual") or any("ffmpeg" in line for line in step["commands"]):
            continue
        script = "set -e; set -o pipefail\n" + "\n".join(step["commands"])
        done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (step["title"], done.stderr)
        outputs[step["title"]] = done.stdout
    assert "stills/000005.png: OK" in outputs["Files unchanged"]
    assert "Total document signed" in outputs["Signature of this PDF"]
    assert outputs["Attached record"] == ""
    assert "Verified OK" in outputs["Signature of the record"]
    fingerprint = run.predicate["examiner"]["identity"]["certificate_sha256"]
    assert fingerprint in outputs["Signer"].replace(":", "").lower()


def test_the_frame_hash_commands_work(tmp_path: Path) -> None:
    pictures = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=1"]
    coding = ["-pix_fmt", "yuv420p", "-c:v", "ffv1", "-level", "3"]
    subprocess.run(["ffmpeg", "-v", "error", *pictures, *coding, str(tmp_path / "output.mkv")], check=True)
    step = next(step for step in verification("steps") if any("ffmpeg" in line for line in step["commands"]))
    subprocess.run(["bash", "-c", "\n".join(step["commands"][:-1])], cwd=tmp_path, check=True)
    hashes = (tmp_path / "decoded.txt").read_text().split()
    assert len(hashes) == 5 and all(len(value) == 64 for value in hashes)
    (tmp_path / "frames.jsonl").write_text("".join(f'{{"sha256":"{value}"}}\n' for value in hashes))
    subprocess.run(["bash", "-c", f"set -o pipefail; {step['commands'][-1]}"], cwd=tmp_path, check=True)


@settings(max_examples=120)
@given(st.data())
def test_a_flipped_byte_anywhere_is_found(
    report: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    original = report.read_bytes()
    place = data.draw(st.integers(0, len(original) - 1))
    flip = data.draw(st.integers(1, 255))
    damaged = bytearray(original)
    damaged[place] ^= flip
    path = tmp_path_factory.getbasetemp() / "flipped.pdf"
    path.write_bytes(damaged)
    assert not check_report(path).sound


def test_every_byte_of_the_signature_value_counts(report: Path, damaged: Damage) -> None:
    """The one place that no signature covers: its own value. Case flips and padding included."""
    original = report.read_bytes()
    start = original.rfind(b"/Contents <") + len(b"/Contents ")
    end = original.index(b">", start)
    places = {start, end, *range(start + 1, end, 37), *range(start + 1, start + 80), *range(end - 20, end)}
    for place in sorted(places):
        changed = bytearray(original)
        changed[place] ^= 0x20 if chr(changed[place]).isalpha() else 0x01
        assert not check_report(damaged(bytes(changed))).sound, place - start


@pytest.mark.parametrize("extra", [b"\n", b" ", b"%%EOF\n", b"\0" * 100])
def test_appended_bytes_are_found(report: Path, damaged: Damage, extra: bytes) -> None:
    check = check_report(damaged(report.read_bytes() + extra))
    assert not check.sound


def test_cut_files_are_found(report: Path, damaged: Damage) -> None:
    original = report.read_bytes()
    for length in (0, 4, 100, len(original) // 2, len(original) - 1):
        assert not check_report(damaged(original[:length])).sound


def test_an_incremental_update_is_found(report: Path, damaged: Damage) -> None:
    writer = IncrementalPdfFileWriter(io.BytesIO(report.read_bytes()))
    writer.root["/Lang"] = writer.root["/Lang"].__class__("xx")
    writer.update_root()
    out = io.BytesIO()
    writer.write(out)
    check = check_report(damaged(out.getvalue()))
    assert check.intact and check.valid  # the signed revision still stands under the update
    assert not check.covers_whole_document
    assert any("revisions" in finding for finding in check.findings)


def test_an_update_by_another_program_is_found(report: Path, damaged: Damage) -> None:
    writer = pypdf.PdfWriter(report, incremental=True)
    writer.root_object[NameObject("/Lang")] = TextStringObject("xx")
    out = io.BytesIO()
    writer.write(out)
    assert not check_report(damaged(out.getvalue())).sound


def test_a_second_signature_is_found(report: Path, tmp_path: Path, stranger: Identity) -> None:
    from pyhanko.sign.general import SigningError
    from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner

    from forensic.report.signature import _signer

    signer = PdfSigner(PdfSignatureMetadata(field_name="Second", md_algorithm="sha256"), signer=_signer(stranger))
    with pytest.raises(SigningError, match="forbids all changes"):  # an honest program refuses
        signer.sign_pdf(IncrementalPdfFileWriter(io.BytesIO(report.read_bytes())))
    signer._enforce_certification_constraints = lambda reader: None  # type: ignore[method-assign]
    signed = signer.sign_pdf(IncrementalPdfFileWriter(io.BytesIO(report.read_bytes())))
    path = tmp_path / "twice.pdf"
    path.write_bytes(signed.getvalue())
    check = check_report(path)
    assert check.signature_count == 2
    assert not check.sound


def test_a_stripped_signature_is_found(report: Path, damaged: Damage) -> None:
    original = report.read_bytes()
    first_revision = original[: original.index(b"%%EOF") + 6]
    check = check_report(damaged(first_revision))
    assert check.signature_count == 0
    assert not check.sound


def test_a_rewritten_document_signed_by_somebody_else_names_him(
    unsigned: Path, tmp_path: Path, identity: Identity, stranger: Identity
) -> None:
    sign_pdf(unsigned, tmp_path / "forged.pdf", stranger, reason="x", when=SIGNED)
    check = check_report(tmp_path / "forged.pdf")
    assert check.signer_subject == identity.subject  # the name can be copied
    assert check.signer_sha256 != identity.facts()["certificate_sha256"]  # the key cannot


def test_a_swapped_attachment_is_found(report: Path, run: ExampleRun, damaged: Damage) -> None:
    original = report.read_bytes()
    place = original.index(run.attestation)
    other = run.attestation.replace(b'"payload":"ey', b'"payload":"fy', 1)
    changed = original[:place] + other + original[place + len(other) :]
    check = check_report(damaged(changed))
    assert not check.intact
    assert not check.sound


def _resigned(pdf: bytes, tmp_path: Path, identity: Identity) -> Path:
    (tmp_path / "body.pdf").write_bytes(pdf)
    sign_pdf(tmp_path / "body.pdf", tmp_path / "resigned.pdf", identity, reason="x", when=SIGNED)
    return tmp_path / "resigned.pdf"


@pytest.mark.parametrize(
    "names", [[], ["other.json"], ["attestation.json", "attestation.json"], ["attestation.json", "b"]]
)
def test_a_missing_renamed_or_further_attachment_is_found(
    unsigned: Path, tmp_path: Path, identity: Identity, names: list[str]
) -> None:
    """Even when the altered document is properly signed."""
    reader = pypdf.PdfReader(unsigned)
    writer = pypdf.PdfWriter()
    for page in reader.pages:
        writer.add_page(page)
    for name in names:
        writer.add_attachment(name, b"{}")
    out = io.BytesIO()
    writer.write(out)
    check = check_report(_resigned(out.getvalue(), tmp_path, identity))
    assert check.valid
    assert any("attachment" in finding for finding in check.findings)


def test_active_content_is_found(unsigned: Path, tmp_path: Path, identity: Identity) -> None:
    writer = pypdf.PdfWriter(clone_from=unsigned)
    action = DictionaryObject({NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("1")})
    writer.root_object[NameObject("/OpenAction")] = action
    out = io.BytesIO()
    writer.write(out)
    check = check_report(_resigned(out.getvalue(), tmp_path, identity))
    assert check.valid
    assert not check.sound


def test_an_approval_signature_instead_of_a_certification_is_found(
    unsigned: Path, tmp_path: Path, identity: Identity
) -> None:
    from pyhanko.sign.fields import SigSeedSubFilter
    from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner

    from forensic.report.signature import _signer

    metadata = PdfSignatureMetadata(field_name="A", md_algorithm="sha256", subfilter=SigSeedSubFilter.PADES)
    writer = IncrementalPdfFileWriter(io.BytesIO(unsigned.read_bytes()))
    signed = PdfSigner(metadata, signer=_signer(identity)).sign_pdf(writer)
    (tmp_path / "approved.pdf").write_bytes(signed.getvalue())
    check = check_report(tmp_path / "approved.pdf")
    assert check.valid and check.covers_whole_document
    assert not check.certified_no_changes
    assert not check.sound


def test_a_signing_time_outside_the_certificate_is_found(unsigned: Path, tmp_path: Path, identity: Identity) -> None:
    sign_pdf(unsigned, tmp_path / "early.pdf", identity, reason="x", when=SIGNED.replace(year=2020))
    assert any("validity" in finding for finding in check_report(tmp_path / "early.pdf").findings)


def test_a_certificate_that_is_not_for_signing_is_found(unsigned: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Web server")])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, SIGNED.replace(year=2025), SIGNED.replace(year=2030)
    )
    certificate = builder.sign(key, hashes.SHA256())
    sign_pdf(unsigned, tmp_path / "web.pdf", Identity(FileKey(key, "none"), certificate), reason="x", when=SIGNED)
    check = check_report(tmp_path / "web.pdf")
    assert check.valid
    assert [finding for finding in check.findings if "nonRepudiation" in finding]


@given(st.binary(max_size=400))
def test_garbage_never_raises(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.pdf"
    for content in (data, b"%PDF-1.7\n" + data, b"%PDF-1.7\n" + data + b"\nstartxref\n9\n%%EOF\n"):
        path.write_bytes(content)
        assert check_report(path).findings


def test_what_is_no_file_is_a_finding(tmp_path: Path) -> None:
    assert check_report(tmp_path).findings
    assert check_report(tmp_path / "missing.pdf").findings


def test_an_ed25519_key_signs_too(unsigned: Path, tmp_path: Path) -> None:
    import datetime as dt

    from forensic.signing.identity import self_issued

    key = ed25519.Ed25519PrivateKey.generate()
    certificate = self_issued(FileKey(key, "none"), name="Ed", lab="Lab", now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    sign_pdf(unsigned, tmp_path / "ed.pdf", Identity(FileKey(key, "none"), certificate), reason="x", when=SIGNED)
    assert check_report(tmp_path / "ed.pdf").findings == []


def test_signing_needs_a_readable_pdf_and_a_time_zone(tmp_path: Path, identity: Identity) -> None:
    (tmp_path / "no.pdf").write_bytes(b"not a PDF")
    with pytest.raises(BadInput):
        sign_pdf(tmp_path / "no.pdf", tmp_path / "out.pdf", identity, reason="x", when=SIGNED)
    with pytest.raises(UsageError):
        sign_pdf(tmp_path / "no.pdf", tmp_path / "out.pdf", identity, reason="x", when=SIGNED.replace(tzinfo=None))


def test_signing_adds_nothing_from_the_clock(unsigned: Path, report: Path) -> None:
    body = unsigned.read_bytes()
    signed = report.read_bytes()
    assert signed.startswith(body)
    assert b"20260301120130" in signed[len(body) :]
    assert b"/ModDate" not in signed[len(body) :]


def test_checking_a_report_imports_nothing_that_made_the_pictures(report: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from forensic.report.verification import check_report; "
        f"assert check_report(Path({str(report)!r})).sound; "
        "print(sorted({'torch', 'cv2', 'av', 'reportlab', 'PIL', 'rfc3161_client'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_without_pictures_is_signed_and_checked(tmp_path: Path, identity: Identity) -> None:
    from tests.report.files import build_pdf

    run = build_run(tmp_path / "run", identity, frames=())
    build_pdf(run.predicate, run.folder, run.attestation, tmp_path / "u.pdf")
    sign_pdf(tmp_path / "u.pdf", tmp_path / "s.pdf", identity, reason="x", location="Lab 7", when=SIGNED)
    assert check_report(tmp_path / "s.pdf").sound
