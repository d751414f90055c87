"""Sound bundles are accepted by both verifiers, whoever is trusted."""

from __future__ import annotations

import shutil
from pathlib import Path

from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.checks import Verdict
from forensic.case.verification.trust import Trust
from forensic.case.verify import verify
from tests.bundle_vectors.agreement import both_accept, both_refuse, examine
from tests.bundle_vectors.forging import Forger
from tests.case.bundling import (
    Disclosure,
    again,
    disclose,
    failures,
    reseal,
)
from tests.case.conftest import Case
from tests.laboratories import Laboratory


def test_sound_bundles(disclosure: Disclosure, other: Disclosure, bag: Path, root: Path, tmp_path: Path) -> None:
    for bundle in (disclosure, other):
        both_accept(bundle.folder)
        both_accept(bundle.archive)
    reseal(bag, root)
    both_accept(bag)
    Forger(root, bag).write()
    both_accept(bag)  # what nobody can see: somebody with all keys wrote everything anew, but the same
    shutil.copytree(root, tmp_path / "ws")
    case = disclose(Case(tmp_path / "ws", disclosure.case.run), "2026/17 Harbour", tmp_path, "hash-only")
    both_accept(case.archive)


def test_witness_and_log_key(disclosure: Disclosure, other: Disclosure, tmp_path: Path) -> None:
    shutil.copytree(disclosure.case.root, tmp_path / "ws")
    lab, witness = Laboratory(tmp_path / "ws"), Laboratory.found(tmp_path / "witness")
    lab.work("later").witnessed_by(witness)
    bundle = again(Case(lab.root, disclosure.case.run), disclosure.seq, tmp_path / "anchored", archive=False)
    assert len(list((bundle / names.ANCHORS).iterdir())) == 2 and (bundle / names.COSIGNED).is_file()
    keys = ("--witness", witness.witness_key(), "--log-key", lab.log_key())
    trust = Trust(witnesses=(witness.witness_key(),), log_keys=(lab.log_key(),))
    both_accept(bundle)
    both_accept(bundle, *keys, trust=trust)
    assert Verdict.WITNESSED in verify(bundle, trust=trust).reached
    stranger = Laboratory(other.case.root).log_key()
    assert "N7" in failures(bundle, Trust(log_keys=(stranger,)))
    assert "N7" in examine(bundle, "--log-key", stranger)[1]
    assert "K1" in examine(bundle, "--fingerprint", "0" * 64)[1]
    for change in (
        lambda text: text.replace("forensic-witness/", "forensic-witness/0"),
        lambda text: text[:-9] + ("A" if text[-9] != "A" else "B") + text[-8:],
        lambda text: text + text.splitlines()[-1].replace("witness", "ledger") + "\n",
        lambda text: "\n".join([*text.splitlines()[:4], *text.splitlines()[:3:-1], ""]),
        lambda text: text.replace("\n", "\r\n"),
    ):
        spoilt = tmp_path / "spoilt"
        shutil.copytree(bundle, spoilt)
        path = spoilt / names.COSIGNED
        old = path.read_bytes()
        path.write_bytes(change(path.read_text("utf-8")).encode())
        for proof in (*(spoilt / names.PROOFS).iterdir(), *spoilt.glob(f"{names.ANCHORS}*/consistency")):
            proof.write_bytes(proof.read_bytes().replace(old, path.read_bytes()))
        reseal(spoilt, lab.root)
        both_refuse(spoilt)
        shutil.rmtree(spoilt)
