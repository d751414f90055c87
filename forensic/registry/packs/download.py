"""Get one pinned file from a package index (simple repository API: PEP 503 HTML, PEP 691 JSON).

With ``forensic.signing.tsa`` the only module that opens network connections, and only ``forensic models
fetch`` comes here. What an index or server says is believed in nothing: the file is taken for what the
card names only if it has the card's size and SHA-256 (:func:`forensic.registry.packs.receiving.received`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit, urlunsplit

from forensic.errors import BadInput, ForensicError, StorageFailed, UsageError, VerificationFailed
from forensic.registry.packs.description import WeightPack
from forensic.registry.packs.pipconfiguration import Indexes
from forensic.registry.packs.receiving import received

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.5, text/html;q=0.1"
_LISTING_LIMIT = 64 << 20
_TIMEOUT_S = 60.0
_MOST_REDIRECTS = 5
_NO_ADDRESS = "(no address)"
_BRING_IT = "Try again, name another index with --index-url, or bring the file and use --from FILE."


@dataclass(frozen=True)
class Listed:
    """Where an index says that a file lies; ``sha256`` as the index has it, where it says so."""

    url: str
    index: str
    sha256: str | None


class PackUnreachable(StorageFailed):
    """``model.pack-unreachable``: nobody answered, or not as a package index answers. Offline is normal.

    ``absent`` says that the address was understood, and nothing lies there.
    """

    def __init__(self, url: str, reason: str, *, absent: bool = False) -> None:
        super().__init__("model.pack-unreachable", f"{shown(url)} cannot be used now: {reason}.", _BRING_IT)
        self.absent = absent


def download(pack: WeightPack, indexes: Indexes) -> tuple[IO[bytes], dict[str, Any]]:
    """The pinned file, checked, as an open nameless file, and the facts about where it came from.

    Every index is asked in turn; the facts name those that were asked before in vain, and why.
    Raises the first index's reason if none has the file:
    ``StorageFailed`` (``model.pack-unreachable``), ``BadInput`` (``model.pack-not-listed``,
    ``model.pack-index-invalid``), ``UsageError`` (``model.pack-index-url``), ``VerificationFailed``
    (``model.pack-digest``, ``model.pack-size``).
    """
    reasons: list[ForensicError] = []
    earlier: list[dict[str, str]] = []
    for index in indexes.urls:
        try:
            listed = find(pack, index, indexes.authorities)
            if listed.sha256 not in (None, pack.sha256):
                raise VerificationFailed(
                    "model.pack-digest",
                    f"{shown(index)} lists {pack.file} with SHA-256 {listed.sha256}; the card says {pack.sha256}.",
                    "The index offers another file under this name. Nothing was downloaded.",
                )
            with closing(_open(listed.url, index, indexes.authorities)) as answer:
                file = received(_blocks(answer, listed.url), pack, shown(listed.url))
        except ForensicError as error:
            reasons.append(error)
            earlier.append({"index": shown(index), "code": error.code})
        else:
            facts: dict[str, Any] = {"index": shown(index), "url": shown(listed.url)}
            return file, facts | ({"earlier": earlier} if earlier else {})
    raise reasons[0]


def find(pack: WeightPack, index: str, authorities: Path | None) -> Listed:
    """Where ``index`` says that the pinned file lies. Raises as :func:`download`."""
    project = re.sub(r"[-_.]+", "-", pack.distribution).lower()  # PEP 503, normalized names
    page = index.rstrip("/") + "/" + quote(project) + "/"
    if shown(index) == _NO_ADDRESS:
        raise UsageError(
            "model.pack-index-url",
            "What is given as a package index is no address.",
            "Write /, ?, # and @ in a name or password as %2F, %3F, %23 and %40.",
        )
    try:
        opened = _open(page, index, authorities)
    except PackUnreachable as error:
        if error.absent:
            raise _not_listed(pack, index) from error
        raise
    with closing(opened) as answer:
        data = b"".join(_blocks(answer, page, _LISTING_LIMIT))
        kind, base = answer.headers.get_content_type(), answer.geturl()
    try:
        for name, url, sha256 in _files_of(data, kind):
            if name == pack.file:
                return Listed(urljoin(base, url), index, sha256)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(
            "model.pack-index-invalid", f"{shown(index)} does not answer as a package index does.", _BRING_IT
        ) from error
    raise _not_listed(pack, index)


def _not_listed(pack: WeightPack, index: str) -> BadInput:
    return BadInput(
        "model.pack-not-listed",
        f"{shown(index)} does not list {pack.file} of {pack.distribution}.",
        "Name an index that has it with --index-url, or bring the file and use --from FILE.",
    )


def shown(url: str) -> str:
    """An address without name, password, query and fragment: what may stand in messages and records.

    An ``@`` further on is taken for the end of a password with ``/``, ``?`` or ``#`` in it, of which nothing is shown.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return _NO_ADDRESS
    here = parts.scheme == "file" and not parts.netloc  # a path of this machine: nobody logs in
    if "@" in parts.path + parts.query + parts.fragment and not here:
        return _NO_ADDRESS
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _files_of(data: bytes, kind: str) -> Iterator[tuple[str, str, str | None]]:
    """Name, address and SHA-256, where given, of every file that a project's page lists; many errors if it is none."""
    text = data.decode("utf-8")
    if kind.endswith("json"):
        for file in json.loads(text)["files"]:
            yield str(file["filename"]), str(file["url"]), file.get("hashes", {}).get("sha256")
        return
    page = _Page()
    page.feed(text)
    page.close()
    for name, href in page.files:
        url, fragment = urldefrag(href)
        found = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment)
        yield name, url, found[1] if found else None


class _Page(HTMLParser):
    """The anchors of a project's page: text and href."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[tuple[str, str]] = []
        self._href: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._href, self._text = dict(attrs).get("href"), ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._href:
            self.files.append((self._text.strip(), self._href))
            self._href = None


def _open(url: str, index: str, authorities: Path | None) -> Any:
    """The answer to a GET. A password in the index's address goes to the index's own host only."""
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    try:
        parts, home = urlsplit(url), urlsplit(index)
        bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
        if parts.scheme not in ("https", "http", "file") or (parts.scheme == "file") != (home.scheme == "file"):
            raise UsageError(
                "model.pack-index-url",
                f"{shown(url)} is not an address of a package index.",
                "Use https://, or file://.",
            )
        if (home.scheme, parts.scheme) == ("https", "http"):
            raise BadInput(
                "model.pack-downgrade", f"{shown(index)} leads to {shown(url)}, without encryption.", _BRING_IT
            )
        if parts.scheme == "file" and parts.path.endswith("/"):
            bare += "index.html"
        request = urllib.request.Request(bare, headers={"Accept": _ACCEPT, "User-Agent": "forensic"})  # noqa: S310
        if home.username and (home.scheme, home.hostname, home.port) == (parts.scheme, parts.hostname, parts.port):
            pair = f"{unquote(home.username)}:{unquote(home.password or '')}".encode()
            # "Unredirected": not passed on where the server leads elsewhere.
            request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair).decode("ascii"))
        context = ssl.create_default_context(cafile=None if authorities is None else str(authorities))
        return _opener(context).open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            raise PackUnreachable(url, f"HTTP status {error.code}", absent=error.code in (404, 410)) from error
    except urllib.error.URLError as error:
        absent = isinstance(error.reason, FileNotFoundError)
        raise PackUnreachable(url, _plain(error.reason), absent=absent) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PackUnreachable(url, _plain(error)) from error


def _opener(context: Any) -> Any:
    """HTTP, HTTPS and files, through the system's proxies; redirects to the same or a safer scheme; no cookies."""
    import urllib.error
    import urllib.request

    class Redirects(urllib.request.HTTPRedirectHandler):
        max_redirections = _MOST_REDIRECTS

        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            here, there = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
            if there not in ("http", "https") or (here, there) == ("https", "http"):
                raise urllib.error.URLError(f"it leads to {shown(newurl)}")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.FileHandler(),
        Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _blocks(answer: Any, url: str, most: int | None = None) -> Iterator[bytes]:
    import http.client

    total = 0
    try:
        while block := answer.read(1 << 16):
            total += len(block)
            if most is not None and total > most:
                raise PackUnreachable(url, f"its answer has more than {most} bytes")
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise PackUnreachable(url, _plain(error)) from error


def _plain(reason: object) -> str:
    return " ".join(str(reason).split())[:300] or type(reason).__name__
