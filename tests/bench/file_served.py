"""Python's own web server with the files of a folder: arguments are the folder and the port."""

import functools
import http.server
import sys


class Files(http.server.SimpleHTTPRequestHandler):
    """Files over connections that stay open, with nothing in its way that could be switched off."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is logged."""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


Server(("127.0.0.1", int(sys.argv[2])), functools.partial(Files, directory=sys.argv[1])).serve_forever()
