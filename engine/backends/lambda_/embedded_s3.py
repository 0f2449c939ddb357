"""The embedded S3: moto's server in a process of its own, started by the first connection.

Its socket listens from the beginning, so that environments get its address before anybody knows whether S3 will be needed.
The first connection starts the process, which takes over the socket with that connection waiting in it. A run that never
needs S3 never pays for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from lbench.engine.emulator.api.signatures import Verifier
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.emulator.http.origin_check import is_foreign
from lbench.engine.processes.child import Child, start
from lbench.engine.processes.lifeline import die_with_parent
from lbench.workloads.sigv4 import Credentials

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

__all__ = ["EmbeddedS3", "main"]

_BACKLOG = 1024
_MOTO_S_OWN = "/moto-api"  # its control, which nobody here needs


class EmbeddedS3:
    """The server's socket and, once it was needed, its process. Closing it deletes all objects.

    `on_death` is called when the process ends by itself: pending requests would notice that much later.
    """

    def __init__(self, bucket: str, credentials: Credentials, on_death: Callable[[], None] | None = None) -> None:
        self._bucket = bucket
        self._credentials = credentials  # all requests must be signed with them
        self._on_death = on_death
        self._closing = False
        self.dead = False
        self._socket: socket.socket | None = None
        self.child: Child | None = None
        self.endpoint = ""

    def open(self) -> str:
        """Listen on a free port of 127.0.0.1; returns the endpoint. Call it on the loop."""
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._socket.setblocking(False)
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._needed)
        return self.endpoint

    def _needed(self) -> None:
        """Start the server and hand it the socket: a client has connected."""
        assert self._socket is not None
        number = self._socket.fileno()
        asyncio.get_running_loop().remove_reader(number)
        self.child = start(
            [sys.executable, "-P", "-m", "lbench.engine.backends.lambda_.embedded_s3", str(number), self._bucket],
            env=_environment(self._credentials),
            pass_fds=(number,),
        )
        self.child.on_exit(self._ended)
        self._socket.close()  # only the server holds it now: once it dies, connecting fails at once

    def _ended(self, code: int) -> None:
        if not self._closing:
            self.dead = True
            if self._on_death is not None:
                self._on_death()

    async def close(self) -> None:
        """End the server; its objects are gone."""
        self._closing = True
        if self._socket is not None and self.child is None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
        self._socket = None
        if self.child is not None:
            await self.child.stop()


def _environment(credentials: Credentials) -> dict[str, str]:
    """The server's environment variables, with its own credentials and without the user's credentials and profiles."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    return kept | {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def main(argv: list[str]) -> int:
    """Serve S3 on an inherited, listening socket (the child process); the bucket is made before the first response."""
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server
    from werkzeug.test import Client

    number, bucket = int(argv[0]), argv[1]
    host, port = socket.socket(fileno=os.dup(number)).getsockname()

    def create_app(service: Any) -> Flask:
        application: Flask = create_backend_app(service)
        application.config["PROPAGATE_EXCEPTIONS"] = True  # else a full disk is a 500 that does not say so
        return application

    application = DomainDispatcherApplication(create_app)
    made = Client(application).put(f"/{bucket}", base_url=f"http://{host}:{port}", headers=_AUTHORIZATION)
    if made.status_code != 200:
        sys.stderr.write(f"lbench: the embedded S3 cannot make its bucket: {made.status}\n")
        return 1
    os.set_blocking(number, True)
    keys = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    server = make_server(
        host, port, _Guarded(application, keys), threaded=True, request_handler=MotoRequestHandler, fd=number
    )
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


class _Guarded:
    """The application behind a check of each request: signed with the server's credentials, and not from a web page."""

    def __init__(self, application: WSGIApplication, credentials: Credentials) -> None:
        self._application = application
        self._credentials = credentials

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._allows(environ):
            start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Connection", "close")])
            return [b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"]
        try:
            return self._application(environ, start_response)
        except OSError as problem:
            if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            start_response("507 Insufficient Storage", [("Content-Type", "application/xml"), ("Connection", "close")])
            text = f"no room in {tempfile.gettempdir()}: make some, or set TMPDIR to a folder that has it"
            return [f"<Error><Code>DiskFull</Code><Message>{escape(text)}</Message></Error>".encode()]

    def _allows(self, environ: WSGIEnvironment) -> bool:
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower().encode(): str(value).encode("latin-1", "replace")
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        }
        target = str(environ.get("RAW_URI", ""))  # as it was sent
        if is_foreign(headers) or not target.startswith("/") or target.startswith(_MOTO_S_OWN):
            return False
        digest = headers.get(b"x-amz-content-sha256", b"").decode("latin-1")
        try:
            # One for each request: they come in threads, and a Verifier remembers its last one.
            Verifier(self._credentials, None, "s3").check(str(environ["REQUEST_METHOD"]), target, headers, digest)
        except Refusal:
            return False
        return True


# moto reads the service's name from the credential's scope
_AUTHORIZATION = {"Authorization": "AWS4-HMAC-SHA256 Credential=lbench/20260101/us-east-1/s3/aws4_request"}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
