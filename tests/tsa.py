"""A real timestamp authority for tests: ``openssl ts -reply`` behind a small HTTP server on 127.0.0.1.

Its certificate authority, its certificate (extended key usage timeStamping, critical) and its
revocation list are made by openssl too, so that nothing of ours answers for itself.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

_CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
crlnumber = {folder}/crlnumber
default_md = sha256
default_crl_days = 3650
[dn]
[req]
distinguished_name = dn
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[unit]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/chain.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""

Answer = tuple[int, dict[str, str], bytes]
REPLY = {"Content-Type": "application/timestamp-reply"}


def openssl(*arguments: object, data: bytes | None = None) -> bytes:
    """Run openssl and return what it prints; a failure fails the test with its own words."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr.decode("utf-8", "replace"))
    return done.stdout


def openssl_agrees(response: Path, data: Path, root: Path) -> bool:
    """Whether ``openssl ts -verify`` accepts the TimeStampResp ``response`` over the file ``data``."""
    done = subprocess.run(
        ["openssl", "ts", "-verify", "-in", response, "-data", data, "-CAfile", root],
        capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0 and b"Verification: OK" in done.stdout + done.stderr


@dataclass
class LocalTsa:
    """Use as a context manager; ``folder`` is filled with keys and certificates and may not exist yet.

    ``kind``: ``ec`` (P-256) or ``rsa`` (2048 bits). ``usage``: value of the certificate's extendedKeyUsage.
    ``answer``: put in a function from request bytes to (status, headers, body) to misbehave; it may
    call ``honest`` for a genuine reply. ``requests`` holds the bodies received.
    """

    folder: Path
    name: str = "Test TSA"
    kind: str = "ec"
    usage: str = "critical, timeStamping"
    answer: Callable[[bytes], Answer] | None = None
    requests: list[bytes] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = field(default=None, repr=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _numbers: itertools.count[int] = field(default_factory=itertools.count, repr=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None, "use it as a context manager"
        return f"http://127.0.0.1:{self._server.server_address[1]}/tsa"

    @property
    def root_pem(self) -> Path:
        """Its authority's certificate: what a verifier would trust."""
        return self.folder / "root.pem"

    @property
    def chain_pem(self) -> Path:
        """The certificates above its own (here the root alone)."""
        return self.folder / "chain.pem"

    @property
    def certificate_pem(self) -> Path:
        """Its own certificate."""
        return self.folder / "tsa.pem"

    @property
    def crl_pem(self) -> Path:
        """Its authority's revocation list; ``revoke`` renews it."""
        return self.folder / "crl.pem"

    def make(self) -> LocalTsa:
        """Keys, certificates and revocation list, once."""
        if self.root_pem.exists():
            return self
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        config = self._config
        config.write_text(_CONFIG.format(folder=folder, usage=self.usage))
        (folder / "index.txt").write_text("")
        (folder / "crlnumber").write_text("01\n")
        (folder / "serial").write_text("01\n")
        algorithm = ["rsa:2048"] if self.kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        for stem in ("root", "tsa"):
            key = ["-newkey", *algorithm, "-nodes", "-keyout", folder / f"{stem}.key"]
            subject = ["-subj", f"/O=Test/CN={self.name}{' root' if stem == 'root' else ''}"]
            if stem == "root":
                own = ["-x509", "-extensions", "root", "-days", 7300, "-out", self.root_pem]
                openssl("req", "-config", config, "-new", *key, *subject, *own)
            else:
                openssl("req", "-config", config, "-new", *key, *subject, "-out", folder / "tsa.csr")
        by = ["-CA", self.root_pem, "-CAkey", folder / "root.key", "-set_serial", 4097]
        made = ["-extfile", config, "-extensions", "unit", "-days", 3650, "-out", self.certificate_pem]
        openssl("x509", "-req", "-in", folder / "tsa.csr", *by, *made)
        self.chain_pem.write_bytes(self.root_pem.read_bytes())
        self._list()
        return self

    @property
    def _config(self) -> Path:
        return self.folder / "openssl.cnf"

    def _list(self) -> None:
        by = ["-cert", self.root_pem, "-keyfile", self.folder / "root.key"]
        openssl("ca", "-config", self._config, "-gencrl", *by, "-out", self.crl_pem)

    def revoke(self) -> None:
        """Put its own certificate on the revocation list."""
        by = ["-cert", self.root_pem, "-keyfile", self.folder / "root.key"]
        openssl("ca", "-config", self._config, "-revoke", self.certificate_pem, *by)
        self._list()

    def honest(self, request: bytes) -> bytes:
        """The genuine TimeStampResp to a TimeStampReq, both DER."""
        with self._turn:
            number = next(self._numbers)
            query, reply = self.folder / f"{number}.tsq", self.folder / f"{number}.tsr"
            query.write_bytes(request)
            openssl("ts", "-reply", "-config", self._config, "-queryfile", query, "-out", reply)
            return reply.read_bytes()

    def respond(self, request: bytes) -> Answer:
        """What the server sends."""
        self.requests.append(request)
        return self.answer(request) if self.answer is not None else (200, REPLY, self.honest(request))

    def stamp(self, data: bytes) -> bytes:
        """The TimeStampResp over ``data`` without our own code: ``openssl ts -query`` and ``-reply``."""
        self.make()
        (self.folder / "data").write_bytes(data)
        return self.honest(openssl("ts", "-query", "-data", self.folder / "data", "-sha256", "-cert"))

    def __enter__(self) -> LocalTsa:
        self.make()
        tsa = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                status, headers, body = tsa.respond(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(OSError):  # a client that lost its patience
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
