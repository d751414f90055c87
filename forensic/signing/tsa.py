"""The only module that opens a network connection: one HTTP request to a timestamp authority (RFC 3161, 3.4).

What goes out is a digest and a nonce, nothing of the evidence. What comes back is checked by
``forensic.signing.timestamp`` before anybody sees it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from forensic.errors import ForensicError, StorageFailed, UsageError
from forensic.signing.tokenform import MAX_BYTES

if TYPE_CHECKING:
    from forensic.signing.chain import Authorities
    from forensic.signing.timestamp import AcceptedResponse

DEFAULT_TIMEOUT_S = 15.0
_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"


@dataclass(frozen=True)
class TimestampAuthority:
    """Where to ask, how long to wait in all, and whom the answer must lead to (empty: it must hold by itself).

    Raises ``UsageError`` (``timestamp.url``) for an address that is not plain http or https.
    """

    url: str
    timeout_s: float = DEFAULT_TIMEOUT_S
    roots: Authorities | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or "@" in parts.netloc or any(character <= " " or character > "~" for character in self.url):
            raise UsageError(
                "timestamp.url",
                f"{self.url[:200]!r} is not the address of a timestamp authority.",
                "Give http://HOST/PATH or https://HOST/PATH, without user name or password.",
            )

    def stamp(self, digest: bytes) -> AcceptedResponse:
        """Get a timestamp over ``digest``, checked and in the form that is kept.

        Raises ``TimestampUnreachable`` and as ``accept_response`` does.
        """
        from forensic.signing.timestamp import NO_ROOTS, accept_response, build_request

        request = build_request(digest)
        return accept_response(self._post(request.der), request, self.roots or NO_ROOTS)

    def _post(self, body: bytes) -> bytes:
        """Send ``body`` and return the answer's; the limit is over everything: names, connection, every byte."""
        outcome: list[bytes | ForensicError] = []

        def ask() -> None:
            try:
                outcome.append(_exchange(self.url, body, self.timeout_s))
            except ForensicError as error:
                outcome.append(error)
            except Exception as error:  # noqa: BLE001 - such as a proxy of a kind unknown here; the thread would lose it
                outcome.append(TimestampUnreachable(self.url, _plain(f"{type(error).__name__}: {error}")))

        # A socket's own limit is for one wait: a server that sends a byte now and then would hold us for ever.
        asking = threading.Thread(target=ask, name="timestamp", daemon=True)
        asking.start()
        asking.join(self.timeout_s)
        if not outcome:
            raise TimestampUnreachable(self.url, f"no answer within {self.timeout_s:g} s")
        if isinstance(outcome[0], ForensicError):
            raise outcome[0]
        return outcome[0]


class TimestampUnreachable(StorageFailed):
    """``timestamp.unreachable``: nobody answered, or not as a timestamp authority answers. Offline is normal."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            "timestamp.unreachable",
            f"The timestamp authority {url} cannot be used now: {reason}.",
            "Nothing is lost: fetch the timestamps later with `forensic anchor`.",
        )


def _exchange(url: str, body: bytes, timeout_s: float) -> bytes:
    import http.client
    import urllib.error
    import urllib.request

    request = urllib.request.Request(  # noqa: S310 - the scheme was checked, and only two handlers are there
        url, data=body, headers={"Content-Type": _QUERY, "Accept": _REPLY, "User-Agent": "forensic"}, method="POST"
    )
    try:
        with _opener().open(request, timeout=timeout_s) as answer:
            kind = answer.headers.get_content_type()
            data: bytes = answer.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise TimestampUnreachable(url, _status(error)) from error
    except urllib.error.URLError as error:
        raise TimestampUnreachable(url, _plain(error.reason)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TimestampUnreachable(url, _plain(error)) from error
    if kind != _REPLY:
        raise TimestampUnreachable(url, f"it answered with {kind[:80]!r}, not with a timestamp")
    if len(data) > MAX_BYTES:
        raise TimestampUnreachable(url, f"its answer has more than {MAX_BYTES} bytes")
    return data


def _opener() -> Any:
    """HTTP and HTTPS, through the system's proxies; no other scheme, no redirect, no cookies, no password."""
    import urllib.request

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _status(error: Any) -> str:
    if 300 <= error.code < 400:
        return f"it redirects to {str(error.headers.get('Location'))[:200]!r}; name that address if it is right"
    return f"HTTP status {error.code}"


def _plain(error: object) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
