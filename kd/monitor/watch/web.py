"""The live view as a web page on this machine: read-only, and nothing outside results."""

import json
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from jinja2 import Environment, StrictUndefined

from kd.monitor.slurm_queue import waiting_text as queue_text
from kd.monitor.watch import words
from kd.monitor.watch.curves import curve
from kd.monitor.watch.look import Looker
from kd.runtime.errors import UserError

HOST = "127.0.0.1"
PORT = 8765
_TRIED = 20  # ports after the first one, where it is taken
_NAMES = {HOST, "localhost"}
_KINDS = {
    **{kind: f"text/{kind}" for kind in ("html", "csv")},
    **{kind: "text/plain" for kind in ("md", "tex", "log", "txt", "yaml", "tsv")},
    **{"json": "application/json", "png": "image/png", "pdf": "application/pdf"},
}
_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'{evaluated}; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)


def serve(look: Looker, results: Path, every: float, port: int | None = None) -> None:
    """Serve the page until ctrl-C.

    Raises:
        UserError: the port, or each one tried, is taken.
    """
    with server(look, results, every, port) as listener:
        print(f"http://{HOST}:{listener.server_port}/ (ctrl-C ends it)", flush=True)
        listener.serve_forever()


def server(
    look: Looker, results: Path, every: float, port: int | None = None
) -> ThreadingHTTPServer:
    """A server of the page, bound to 127.0.0.1; `port` 0 takes any, None the first one that is
    free from PORT on."""
    handler = _handler(_shared(look, every), results.resolve(), every)
    tried = range(PORT, PORT + _TRIED) if port is None else [port]
    for number in tried:
        try:
            listener = ThreadingHTTPServer((HOST, number), handler)
        except OSError as error:
            refused = error
            continue
        listener.daemon_threads = True
        return listener
    last = f" to {tried[-1]}" if len(tried) > 1 else ""
    raise UserError(
        f"--port: {tried[0]}{last}: {refused.strerror}; give another number, or 0 for any"
    )


def _shared(look: Looker, every: float) -> Looker:
    """The same look for all who ask within `every` seconds, or ten times what a look takes."""
    lock = threading.Lock()
    last: dict[str, Any] = {}
    due = 0.0

    def shared() -> dict[str, Any]:
        nonlocal last, due
        with lock:
            started = time.monotonic()
            if started >= due:
                last = look()
                spent = time.monotonic() - started
                due = started + max(every, 10 * spent)
            return last

    return shared


def _handler(look: Looker, results: Path, every: float) -> type[BaseHTTPRequestHandler]:
    page, view = _templates()

    class Handler(BaseHTTPRequestHandler):
        """Answers GET and HEAD; the base class refuses all else."""

        server_version, sys_version = "kd", ""

        def do_GET(self) -> None:  # the name that http.server calls
            """Send a page or a file."""
            self._answer(body=True)

        def do_HEAD(self) -> None:
            """Send the head of it."""
            self._answer(body=False)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the terminal shows the address alone."""

        def _answer(self, body: bool) -> None:
            # A page of another site whose name is made to point here must not read anything.
            if self.headers.get("Host", "").partition(":")[0] not in _NAMES:
                self.send_error(HTTPStatus.FORBIDDEN)
                return
            path = unquote(urlsplit(self.path).path)
            evaluated = ""
            if path == "/":
                content = page(every=every, main=view(look(), results)).encode()
                kind = "text/html"
            elif path == "/view":
                content, kind = view(look(), results).encode(), "text/html"
            elif path == "/status.json":
                content, kind = json.dumps(look()).encode(), "application/json"
            else:
                file = file_below(results, path)
                if file is None:
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
                content, kind = file.read_bytes(), _KINDS[file.suffix[1:]]
                evaluated = " 'unsafe-eval'"  # Vega, which draws the report's charts, needs it
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", _POLICY.format(evaluated=evaluated))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if body:
                self.wfile.write(content)

    return Handler


def file_below(results: Path, path: str) -> Path | None:
    """The file that the path `/results/...` of a URL names; None where it is no file of a kind
    that people read, or does not lie in the folder `results`, links followed."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] != ["results"] or "\0" in path or any(part.startswith(".") for part in parts):
        return None
    file = results.joinpath(*parts[1:]).resolve()
    known = file.suffix[1:] in _KINDS and file.is_relative_to(results) and file.is_file()
    return file if known else None


def _templates() -> tuple[Callable[..., str], Callable[[dict[str, Any], Path], str]]:
    """What writes the whole page, and what writes the part that changes."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    folder = files("kd.monitor.watch")
    page, view = (
        environment.from_string(folder.joinpath(f"{name}.html.jinja").read_text(encoding="utf-8"))
        for name in ("page", "view")
    )

    def write(status: dict[str, Any], results: Path) -> str:
        def link(file: Path) -> str:
            """The address of a file of results; '' if there is no such file."""
            inside = file.is_file() and file.is_relative_to(results)
            return f"/results/{quote(file.relative_to(results).as_posix())}" if inside else ""

        def log(row: dict[str, Any]) -> str:
            """The address of the log of a job that is at work."""
            folder = Path(row["folder"]).resolve()
            own, beside = (
                folder / "log" / f"{row['step']}.log",
                folder.with_name(folder.name + ".log"),
            )
            return link(own) or link(beside)

        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status["time"]))
        return view.render(
            look=status,
            clock=clock,
            curve=curve,
            queue_text=queue_text,
            words=words,
            report=link(results / "studies" / status["study"] / "report.html"),
            log_of=log,
            log_of_run=lambda run: link(results / "runs" / run / "log/distil.log"),
            when=lambda seconds: time.strftime("%H:%M:%S", time.localtime(seconds)),
        )

    return page.render, write
