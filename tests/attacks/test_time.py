"""Attacks on time: the threat model's rows on timestamps. Every one must fail, or raise nothing."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from asn1crypto import cms, tsp

from forensic.case.anchors import issue_checkpoint
from forensic.case.layout import WorkspaceLayout
from forensic.case.timestamping import fetch_pending
from forensic.case.verification.checks import Verdict, Verification
from forensic.case.verification.trust import Trust
from forensic.case.verify import verify
from forensic.case.workspace import open_workspace
from forensic.report.verification import check_report
from forensic.signing.timestamp import build_request, read_roots
from forensic.signing.tokenform import canonical_token, response_around, token_of
from tests.case.conftest import forensic
from tests.madeup_tsa import MadeUpTsa
from tests.report import conftest as report_fixtures
from tests.report.files import sign_pdf
from tests.report.levels import Laboratory, with_token, with_value
from tests.tsa import REPLY, Answer, LocalTsa, openssl_agrees

# Under one name each, so that the names stay free for what tests call so.
identity, run, unsigned = report_fixtures.identity, report_fixtures.run, report_fixtures.unsigned


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTsa]:
    with LocalTsa(tmp_path_factory.mktemp("tsa") / "tsa") as server:
        yield server


@dataclass(frozen=True)
class Stamped:
    """A workspace with one finished run; ``plain``: before any timestamp, ``root``: report and checkpoint have one."""

    plain: Path
    root: Path
    run_id: str
    trust: Trust

    @property
    def run(self) -> Path:
        return self.root / "runs" / self.run_id

    @property
    def token(self) -> Path:
        digest = hashlib.sha256((self.run / "report.pdf").read_bytes()).hexdigest()
        return WorkspaceLayout(self.root).document_timestamp(digest)

    def copy(self, folder: Path) -> Stamped:
        shutil.copytree(self.root, folder)
        return Stamped(self.plain, folder, self.run_id, self.trust)


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory, real_clip: Path, tsa: LocalTsa) -> Stamped:
    root = tmp_path_factory.mktemp("stamped") / "ws"
    done = forensic("enhance", real_clip, "-w", root, "--frames", "0:2", "--recipe", "plain-lanczos")
    assert done.code == 0, done.err
    plain = root.with_name("plain")
    shutil.copytree(root, plain)
    with open_workspace(root, lambda: "") as workspace:
        issue_checkpoint(workspace)
        got = fetch_pending(workspace, tsa.url)
    assert [one.of for one in got] == ["checkpoint", "report"] and not any(one.code for one in got)
    return Stamped(plain, root, Path(done.last_line).name, Trust(tsa_roots=(tsa.root_pem.read_bytes(),)))


def failed(verification: Verification) -> set[str]:
    assert verification.verdict is Verdict.FAILED
    return {check.number for check in verification.checks if not check.passed}


def test_an_untouched_workspace_is_timestamped_and_openssl_agrees(stamped: Stamped, tsa: LocalTsa) -> None:
    """What the attacks below start from."""
    for target in (stamped.root, stamped.run):
        assert verify(target, trust=stamped.trust).verdict is Verdict.TIMESTAMPED
    checkpoint = next((stamped.root / "anchors").iterdir())
    assert openssl_agrees(stamped.token, stamped.run / "report.pdf", tsa.root_pem)
    assert openssl_agrees(checkpoint / "checkpoint.tsr", checkpoint / "checkpoint", tsa.root_pem)


def test_backdated_report_has_no_older_timestamp(unsigned: Path, tmp_path: Path, tsa: LocalTsa) -> None:
    """With key and clock an insider signs "in March". No authority confirms it; the difference is printed."""
    lab = Laboratory(tmp_path / "lab", tsa)
    claimed = lab.identity.certificate.not_valid_before_utc
    backdated = tmp_path / "backdated.pdf"
    sign_pdf(unsigned, backdated, lab.identity, reason="x", when=claimed)
    trust = Trust(tsa_roots=(tsa.root_pem.read_bytes(),))
    alone = verify(backdated, trust=trust)
    assert Verdict.TIMESTAMPED not in alone.reached
    assert any("beyond the signer's own clock" in note for note in alone.not_proved)

    stamped = tmp_path / "stamped.pdf"
    sign_pdf(unsigned, stamped, lab.identity, reason="x", when=claimed, stamp=lab.stamp)
    check = check_report(stamped)
    assert check.signing_time == claimed
    assert check.signature_timestamp is not None
    assert check.signature_timestamp.time - claimed >= dt.timedelta(minutes=59)
    told = next(one for one in verify(stamped, trust=trust).checks if one.number == "T3")
    assert told.passed and "the signer's clock claimed 1:00:" in told.detail and "earlier" in told.detail

    older = lab.stamp(hashlib.sha256(b"an older document").digest())
    (tmp_path / "lent.pdf").write_bytes(with_token(stamped.read_bytes(), older))
    assert {"R1", "T3"} <= failed(verify(tmp_path / "lent.pdf", trust=trust))


def test_timestamp_of_another_document(stamped: Stamped, tmp_path: Path, tsa: LocalTsa) -> None:
    """A genuine token by the trusted authority, over something else, under the report's or checkpoint's name."""
    attacked = stamped.copy(tmp_path / "ws")
    checkpoint = next((attacked.root / "anchors").iterdir())
    genuine = attacked.token.read_bytes(), (checkpoint / "checkpoint.tsr").read_bytes()
    attacked.token.write_bytes(genuine[1])
    assert {"T2", "T5"} <= failed(verify(attacked.run, trust=stamped.trust))
    attacked.token.write_bytes(genuine[0])
    (checkpoint / "checkpoint.tsr").write_bytes(genuine[0])
    assert {"T1", "T5"} <= failed(verify(attacked.root, trust=stamped.trust))
    assert not openssl_agrees(checkpoint / "checkpoint.tsr", checkpoint / "checkpoint", tsa.root_pem)


def test_timestamp_by_an_untrusted_authority_raises_nothing(stamped: Stamped, tmp_path: Path) -> None:
    """Anybody can run an authority, with any clock: its token holds, and counts for nothing."""
    shutil.copytree(stamped.plain, tmp_path / "ws")
    run = tmp_path / "ws" / "runs" / stamped.run_id
    report = (run / "report.pdf").read_bytes()
    own = MadeUpTsa(clock=dt.datetime(2021, 5, 5, tzinfo=dt.UTC))
    answer = own.answer(build_request(hashlib.sha256(report).digest()).der)
    token = WorkspaceLayout(tmp_path / "ws").document_timestamp(hashlib.sha256(report).hexdigest())
    token.parent.mkdir()
    token.write_bytes(response_around(canonical_token(token_of(answer)[0])[0]))
    for trust in (stamped.trust, Trust()):
        verification = verify(run, trust=trust)
        assert verification.verdict is Verdict.SIGNED
        assert any("2021-05-05T00:00:00Z" in note and "--tsa-root" in note for note in verification.not_checked)
    assert verify(run, trust=Trust(tsa_roots=(own.root,))).verdict is Verdict.TIMESTAMPED  # his own folly


def test_token_with_a_changed_time(stamped: Stamped, tmp_path: Path, tsa: LocalTsa) -> None:
    attacked = stamped.copy(tmp_path / "ws")
    token = cms.ContentInfo.load(token_of(attacked.token.read_bytes())[0])
    content = token["content"]["encap_content_info"]["content"]
    info = tsp.TSTInfo.load(content.parsed.dump())
    info["gen_time"] = info["gen_time"].native.replace(year=2022)
    token["content"]["encap_content_info"]["content"] = cms.ParsableOctetString(info.dump(force=True))
    attacked.token.write_bytes(response_around(canonical_token(token.dump(force=True))[0]))
    assert {"T2", "T5"} <= failed(verify(attacked.run, trust=stamped.trust))
    assert "T2" in failed(verify(attacked.run))  # also for somebody who trusts no authority
    assert not openssl_agrees(attacked.token, attacked.run / "report.pdf", tsa.root_pem)


def test_report_timestamp_is_stripped(stamped: Stamped, real_clip: Path, tmp_path: Path, tsa: LocalTsa) -> None:
    """Taking it out of the signature leaves a report that says less; what was recorded notices it."""
    root = tmp_path / "ws"
    forensic("init", "-w", root)
    (root / "settings.toml").write_text(f'[timestamp]\nurl = "{tsa.url}"\n')
    done = forensic("enhance", real_clip, "-w", root, "--frames", "0:1", "--recipe", "plain-lanczos")
    run = Path(done.last_line)
    assert "PAdES B-T" in done.err
    assert verify(run, trust=stamped.trust).verdict is Verdict.TIMESTAMPED
    report = run / "report.pdf"
    report.write_bytes(with_token(report.read_bytes()))
    alone = verify(report, trust=stamped.trust)
    assert alone.verdict is Verdict.SIGNED  # lower, never wrong
    assert {"M5", "C2"} <= failed(verify(run, trust=stamped.trust))

    attacked = stamped.copy(tmp_path / "detached")
    attacked.token.unlink()
    verification = verify(attacked.run, trust=Trust())
    assert verification.verdict is Verdict.SIGNED
    assert any("the ledger received is gone" in note for note in verification.not_checked)


def test_document_timestamp_is_exchanged(
    unsigned: Path,
    stamped: Stamped,
    tmp_path: Path,
    tsa: LocalTsa,
) -> None:
    lab = Laboratory(tmp_path / "lab", tsa)
    report = lab.sign(unsigned, tmp_path / "reports", "B-LTA")
    assert check_report(report).level == "B-LTA"
    original = report.read_bytes()
    target = tmp_path / "exchanged.pdf"

    # By a genuine one over something else.
    target.write_bytes(with_value(original, lab.stamp(hashlib.sha256(b"other").digest()), which=1))
    assert {"R1", "T3", "T4"} <= failed(verify(target, trust=stamped.trust))

    # By the attacker's own, over the same bytes: sound, named, and it lends nothing to the trusted one.
    own = MadeUpTsa(clock=dt.datetime(2020, 2, 2, tzinfo=dt.UTC))
    spans = check_spans(original)
    digest = hashlib.sha256(original[: spans[1]] + original[spans[2] :]).digest()
    forged = canonical_token(token_of(own.answer(build_request(digest).der))[0])[0]
    target.write_bytes(with_value(original, forged, which=1))
    check = check_report(target, read_roots(stamped.trust.tsa_roots))
    assert check.sound and check.document_timestamp is not None and not check.document_timestamp.trusted
    only_his = verify(target, trust=Trust(tsa_roots=(own.root,)))
    assert Verdict.TIMESTAMPED not in only_his.reached

    # The detached one, by another genuine one over the same report: the ledger knows which it received.
    attacked = stamped.copy(tmp_path / "ws")
    fresh = lab.stamp(hashlib.sha256((attacked.run / "report.pdf").read_bytes()).digest())
    attacked.token.write_bytes(response_around(fresh))
    assert failed(verify(attacked.run, trust=stamped.trust)) == {"T5"}


def check_spans(pdf: bytes) -> list[int]:
    """ByteRange of the last signature."""
    place = pdf.rindex(b"/ByteRange [")
    return [int(number) for number in pdf[place + 12 : pdf.index(b"]", place)].split()]


def _hang(_: bytes) -> Answer:
    time.sleep(3)
    return 200, REPLY, b""


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: (200, REPLY, b"garbage" * 100),
        lambda _: (200, {"Content-Type": "text/html"}, b"<script>"),
        lambda _: (200, REPLY, MadeUpTsa().answer(build_request(bytes(32)).der)),
        _hang,
    ],
)
def test_tsa_sends_garbage_or_hangs(
    stamped: Stamped, real_clip: Path, tmp_path: Path, tsa: LocalTsa, answer: Callable[[bytes], Answer]
) -> None:
    """The work is not lost, the failure is on record, and the timestamp is fetched when the authority is well."""
    root = tmp_path / "ws"
    forensic("init", "-w", root)
    (root / "settings.toml").write_text(f'[timestamp]\nurl = "{tsa.url}"\ntimeout_s = 1\n')
    tsa.answer = answer
    try:
        done = forensic("enhance", real_clip, "-w", root, "--frames", "0:1", "--recipe", "plain-lanczos")
        assert done.code == 0, done.err
        run = Path(done.last_line)
        assert verify(run, trust=stamped.trust).verdict is Verdict.SIGNED
        with open_workspace(root, lambda: "") as workspace:
            first = fetch_pending(workspace)
            assert len(first) == 1 and first[0].code.startswith("timestamp.")
            tsa.answer = None
            again = fetch_pending(workspace)
            assert [one.code for one in again] == [""]
            events = [entry.event for entry in workspace.ledger.entries()]
        assert events.count("timestamp.failed") == 2 and events[-1] == "timestamp.received"
        assert verify(run, trust=stamped.trust).verdict is Verdict.TIMESTAMPED
    finally:
        tsa.answer = None


def test_a_report_that_is_not_on_record_gets_no_timestamp(stamped: Stamped, tmp_path: Path, tsa: LocalTsa) -> None:
    """An exchanged file must not be lent age by us."""
    shutil.copytree(stamped.plain, tmp_path / "ws")
    report = tmp_path / "ws" / "runs" / stamped.run_id / "report.pdf"
    report.write_bytes(report.read_bytes() + b"\n")
    with open_workspace(tmp_path / "ws", lambda: "") as workspace:
        assert fetch_pending(workspace, tsa.url) == []


def test_a_timestamp_over_fewer_entries_does_not_cover_the_run(stamped: Stamped, tmp_path: Path, tsa: LocalTsa) -> None:
    """A checkpoint from before the run says nothing about the run."""
    root = tmp_path / "ws"
    forensic("init", "-w", root)
    with open_workspace(root, lambda: "") as workspace:
        issue_checkpoint(workspace)
        assert [one.code for one in fetch_pending(workspace, tsa.url)] == [""]
    assert verify(root, trust=stamped.trust).verdict is Verdict.TIMESTAMPED
    clip = stamped.plain / "exhibits"
    original = next(next(clip.iterdir()).glob("original*"))
    done = forensic("enhance", original, "-w", root, "--frames", "0:1", "--recipe", "plain-lanczos")
    for target in (root, Path(done.last_line)):
        verification = verify(target, trust=stamped.trust)
        assert verification.verdict is Verdict.SIGNED
        assert any("how old entries" in note for note in verification.not_checked)
