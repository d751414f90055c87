"""The zip form of a bundle: what is written is read, in other people's programs too; anything else is refused."""

from __future__ import annotations

import hashlib
import stat
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.case.bundle.writing import Part, write_bag
from forensic.case.verification.bundle_archive import BundleArchive
from forensic.case.verification.bundle_container import opened_bag
from forensic.case.verification.bundleform import zipform
from forensic.case.verification.bundleform.names import collisions, name_fault, slug
from forensic.errors import BadInput, ForensicError, UsageError, VerificationFailed

FILES = {"bagit.txt": b"BagIt", "data/a/b.bin": bytes(range(256)) * 3, "data/empty": b"", "data/z.txt": b"last"}


def write(target: Path, files: dict[str, bytes] = FILES, *, archive: bool = True, top: str = "bundle-1") -> Path:
    """A bag without any sense in it."""
    parts = [Part.of(name, data) for name, data in files.items()]
    write_bag(target, parts, top=top, archive=archive, check=lambda _: None)
    return target


def read(path: Path) -> dict[str, str]:
    """Digests of what the strict reader finds."""
    with opened_bag(path) as bag:
        return dict(bag.digests)


def digests(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def refusal(path: Path) -> str:
    """Why the archive is refused."""
    with pytest.raises(BadInput) as caught:
        read(path)
    assert caught.value.code == "bundle.container"
    return caught.value.message


def test_archive_and_folder_hold_the_same(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.zip")) == read(write(tmp_path / "a", archive=False)) == digests(FILES)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    backwards = dict(reversed(list(FILES.items())))
    assert write(tmp_path / "a.zip").read_bytes() == write(tmp_path / "b.zip", backwards).read_bytes()


@pytest.mark.parametrize("wide_from", [zipform.MARK_32, 5, 600])
def test_other_programs_read_it_also_with_zip64_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wide_from: int
) -> None:
    monkeypatch.setattr(zipform, "WIDE_FROM", wide_from)
    path = write(tmp_path / "a.zip")
    assert read(path) == digests(FILES)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == {
            f"bundle-1/{name}": data for name, data in FILES.items()
        }
        assert {stat.S_IMODE(info.external_attr >> 16) for info in archive.infolist()} == {0o644}
    done = subprocess.run(["unzip", "-tq", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_more_files_than_the_old_format_counts(tmp_path: Path) -> None:
    files = {f"data/{number:05d}": b"" for number in range(65_540)}
    path = tmp_path / "a.zip"
    parts = [Part.of(name, data) for name, data in files.items()]
    write_bag(path, parts, top="b", archive=True, check=lambda _: None)
    with BundleArchive(path) as archive:
        assert len(archive.entries) == 65_540
    with zipfile.ZipFile(path) as other:
        assert len(other.infolist()) == 65_540


_NAMES = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,8}(/[a-zA-Z0-9][a-zA-Z0-9._-]{0,8}[a-z])?", fullmatch=True)


@given(files=st.dictionaries(_NAMES, st.binary(max_size=40), min_size=1, max_size=6))
def test_any_content_is_read_as_it_was_written(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = tmp_path / f"{hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()}.zip"
    if collisions(files) or any(name_fault(name) for name in files):
        with pytest.raises(ForensicError):
            write(path, files)
        return
    if not path.exists():
        write(path, files)
    assert read(path) == digests(files)


def test_every_single_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a": b"some", "b/c": b"bytes"})
    honest, expected = path.read_bytes(), read(path)
    unnoticed = []
    for place in range(len(honest)):
        for change in (1, 0x80, 0xFF):
            changed = bytearray(honest)
            changed[place] ^= change
            path.write_bytes(changed)
            try:
                if read(path) == expected:
                    unnoticed.append(place)
            except BadInput:
                continue
    assert not unnoticed


def test_every_truncation_and_extension_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a": b"some", "b/c": b"bytes"})
    honest = path.read_bytes()
    for length in range(len(honest)):
        path.write_bytes(honest[:length])
        assert refusal(path)
    for more in (honest + b"x", b"x" + honest, honest + honest, honest[:-22] + b"PK" + honest[-22:]):
        path.write_bytes(more)
        assert refusal(path)


@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_in_plain_words(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    assert "not opened" in refusal(path)
    path.write_bytes(b"PK\x03\x04" + data + write(tmp_path / "tail.zip").read_bytes()[-22:])
    (tmp_path / "tail.zip").unlink()
    assert "not opened" in refusal(path)


# Archives that other programs write


def foreign(path: Path, fill: Callable[[zipfile.ZipFile], None], compression: int = zipfile.ZIP_STORED) -> Path:
    """An archive by the standard library."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        fill(archive)
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("b/../../etc/passwd", "way out"), ("/etc/passwd", "absolute"), ("b\\..\\x", "backslash"), ("C:/x", "drive"),
        ("b/na\u0308me", "characters"), ("b/a\x1b[31m", "characters"), ("b/.hidden", "characters"),
        ("b/x.", "characters"),
        ("b/nul.txt", "device"), ("b//x", "characters"), ("b/" + "x" * 300, "240"), ("b/x/", "characters"),
    ],
)  # fmt: skip
def test_dangerous_names(tmp_path: Path, name: str, words: str) -> None:
    info = zipfile.ZipInfo("b/placeholder")
    info.filename = name
    path = foreign(tmp_path / "x.zip", lambda archive: archive.writestr(info, b"x"))
    message = refusal(path)
    assert words in message and "\x1b" not in message


def test_links_folders_and_encrypted_entries(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("b/link")
    link.external_attr, link.create_system = (stat.S_IFLNK | 0o777) << 16, 3
    path = foreign(tmp_path / "link.zip", lambda archive: archive.writestr(link, "/etc/passwd"))
    assert "link" in refusal(path)
    path = foreign(tmp_path / "folder.zip", lambda archive: archive.writestr("b/sub/", b""))
    assert refusal(path)
    data = bytearray(write(tmp_path / "a.zip").read_bytes())
    at = data.index(zipform.CENTRAL_SIGN)
    data[at + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    assert "encrypted" in refusal(tmp_path / "locked.zip")


def test_same_files_packed_by_another_program_are_refused_with_advice(tmp_path: Path) -> None:
    def fill(archive: zipfile.ZipFile) -> None:
        for name, data in sorted(FILES.items()):
            archive.writestr(f"bundle-1/{name}", data)

    path = foreign(tmp_path / "x.zip", fill, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BadInput) as caught:
        read(path)
    assert "compressed" in caught.value.message and "unpack" in caught.value.remedy
    assert refusal(foreign(tmp_path / "y.zip", fill))  # stored, but with today's date


def by_hand(path: Path, *names: str) -> Path:
    """An archive of empty files in the strict form, whatever their names."""
    entries, data = [], b""
    for name in names:
        entries.append(zipform.Entry(name, 0, 0, len(data)))
        data += zipform.local_header(entries[-1])
    path.write_bytes(data + zipform.directory(entries))
    return path


def test_archives_that_do_not_hold_one_folder_in_order(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    assert "one folder" in refusal(by_hand(path, "a/x", "b/x"))
    assert "one folder" in refusal(by_hand(path, "a"))
    assert "order" in refusal(by_hand(path, "a/y", "a/x"))
    assert "same" in refusal(by_hand(path, "a/x", "a/x"))
    assert "upper and lower case" in refusal(by_hand(path, "a/X", "a/x"))
    assert "same" in refusal(by_hand(path, "a/x", "a/x/y"))
    assert set(read(by_hand(path, "a/x", "a/y"))) == {"x", "y"}


def test_claims_of_huge_sizes_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    entry = zipform.Entry("b/big", 1 << 50, 0, 0)
    path = tmp_path / "x.zip"
    path.write_bytes(zipform.local_header(entry) + zipform.directory([entry]))
    assert refusal(path)
    data = bytearray(write(tmp_path / "a.zip").read_bytes())
    data[-14:-10] = b"\xfe\xff\xfe\xff"  # number of entries
    path.write_bytes(data)
    assert refusal(path)


# Folders


def test_links_pipes_and_stray_names_in_a_folder(tmp_path: Path) -> None:
    root = write(tmp_path / "a", archive=False)
    (root / "data" / "link").symlink_to("/etc/passwd")
    assert "link" in refusal(root)
    (root / "data" / "link").unlink()
    (root / "data" / ".DS_Store").write_bytes(b"")
    assert "characters" in refusal(root)
    (root / "data" / ".DS_Store").unlink()
    (root / "data" / "hollow").mkdir()
    assert "empty" in refusal(root)


def test_names_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "a", archive=False)
    (root / "data" / "Z.txt").write_bytes(b"")
    if len(list((root / "data").iterdir())) == 4:  # a file system that tells them apart
        assert "upper and lower case" in refusal(root)
    assert collisions(["a", "A"]) == ["A"] and collisions(["a", "a/b"]) == ["a/b"] and collisions(["A/x", "a/y"])
    assert not collisions(["a/x", "a/y", "b"])


# Writing


def test_nothing_is_overwritten_and_a_failed_writing_leaves_nothing(tmp_path: Path) -> None:
    for archive in (True, False):
        target = write(tmp_path / f"taken-{archive}", archive=archive)
        with pytest.raises(UsageError) as caught:
            write(target, archive=archive)
        assert caught.value.code == "bundle.exists"
        dangling = tmp_path / f"dangling-{archive}"
        dangling.symlink_to(tmp_path / "nowhere")
        with pytest.raises(UsageError):
            write(dangling, archive=archive)
        before = sorted(tmp_path.iterdir())
        changed = tmp_path / "source"
        changed.write_bytes(b"other bytes")
        part = Part("data/x", hashlib.sha256(b"these bytes").hexdigest(), 11, changed)
        with pytest.raises(VerificationFailed) as failed:
            write_bag(tmp_path / "new", [part], top="b", archive=archive, check=lambda _: None)
        assert failed.value.code == "bundle.source-changed"
        changed.unlink()

        def unsound(_: Path) -> None:
            raise VerificationFailed("bundle.unsound", "no")

        with pytest.raises(VerificationFailed):
            write_bag(tmp_path / "new", [Part.of("a", b"")], top="b", archive=archive, check=unsound)
        assert sorted(tmp_path.iterdir()) == before


def test_a_source_that_grows_while_it_is_copied_is_noticed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"short")
    part = Part("a", hashlib.sha256(b"short").hexdigest(), 5, source)
    source.write_bytes(b"short and more")
    with pytest.raises(VerificationFailed):
        list(part.blocks())


def test_reminders_in_file_names() -> None:
    assert slug("Case 7/26: Zoë") == "Case_7_26_Zo"
    assert slug("…") == "x" and slug("a" * 99) == "a" * 40
    assert all(name_fault(f"bundle-case-{slug(text)}-000001") is None for text in ("..", "NUL", "-", "a/../b", "ß"))
