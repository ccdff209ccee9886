from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


class FileServer:
    """Serves a folder on loopback and counts what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        handler = type("Handler", (_Handler,), {"do_GET": self._counted(_Handler.do_GET)})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _counted(self, get):  # type: ignore[no-untyped-def]
        def do_get(handler: SimpleHTTPRequestHandler) -> None:
            self.requests.append(handler.path)
            get(handler)

        return do_get

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
