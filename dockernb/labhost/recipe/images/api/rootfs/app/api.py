"""The middle tier of the three-tier lab: an HTTP API over PostgreSQL.

    GET  /health  200 when the database answers, else 503 with the reason
    GET  /notes   all notes, newest first
    POST /notes   {"text": "..."} adds one

It starts without the database, keeps running when the database goes away, and finds it again when it comes back.
"""

import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import psycopg

PORT = 3000
LONGEST_BODY = 64 * 1024
# No request may hang, neither when packets are dropped on the way nor when the database itself hangs.
CONNECT_LIMIT = 2  # seconds
STATEMENT_LIMIT = 3  # seconds
TABLE = """
CREATE TABLE IF NOT EXISTS notes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text NOT NULL,
    written timestamptz NOT NULL DEFAULT now()
)
"""


class Database:
    """One connection, made when first needed and made again when it breaks."""

    def __init__(self, url):
        self._url = url
        self.place = urlsplit(url).netloc.rpartition("@")[2]
        self._connection = None
        self._lock = threading.Lock()

    def query(self, statement, values=()):
        """Run one statement and return its rows; a broken connection is tried once more with a fresh one."""
        with self._lock:
            try:
                return self._once(statement, values)
            except psycopg.OperationalError:
                if self._connection is None:  # there is no database to connect to
                    raise
                self._connection.close()
                self._connection = None
                return self._once(statement, values)

    def _once(self, statement, values):
        fresh = self._connection is None
        if fresh:
            self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_LIMIT)
        watchdog = threading.Timer(STATEMENT_LIMIT, hang_up, [self._connection])
        watchdog.daemon = True
        watchdog.start()
        try:
            if fresh:
                self._connection.execute(TABLE)
            return self._connection.execute(statement, values).fetchall()
        finally:
            watchdog.cancel()


def hang_up(connection):
    """Cut the line of a connection, so that whoever waits for an answer gets an error instead."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


class Api(BaseHTTPRequestHandler):
    """One request."""

    database: Database

    def do_GET(self):
        if self.path == "/health":
            self._try(self._health)
        elif self.path == "/notes":
            self._try(self._notes)
        else:
            self._answer(404, {"error": f"no such path: {self.path}"})

    def do_POST(self):
        if self.path == "/notes":
            self._try(self._add_note)
        else:
            self._answer(404, {"error": f"no such path: {self.path}"})

    def _health(self):
        [(version,)] = self.database.query("SELECT current_setting('server_version')")
        self._answer(200, {"status": "ok", "database": f"PostgreSQL {version}"})

    def _notes(self):
        rows = self.database.query("SELECT id, text, written FROM notes ORDER BY id DESC")
        self._answer(
            200, [{"id": number, "text": text, "written": str(written)} for number, text, written in rows]
        )

    def _add_note(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > LONGEST_BODY:
            return self._answer(413, {"error": f"a note may have {LONGEST_BODY} bytes"})
        try:
            text = json.loads(self.rfile.read(length))["text"]
        except (ValueError, KeyError, TypeError):
            return self._answer(400, {"error": 'send JSON such as {"text": "a note"}'})
        [(number,)] = self.database.query("INSERT INTO notes (text) VALUES (%s) RETURNING id", (str(text),))
        return self._answer(201, {"id": number, "text": str(text)})

    def _try(self, work):
        try:
            work()
        except psycopg.Error as problem:
            self._answer(
                503, {"status": "unavailable", "error": f"{self.database.place}: {one_line(problem)}"}
            )

    def _answer(self, status, content):
        body = (json.dumps(content, ensure_ascii=False) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def one_line(problem):
    """The text of an error on one line."""
    return " ".join(str(problem).split())


def main():
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    Api.database = Database(os.environ["DATABASE_URL"])
    server = ThreadingHTTPServer(("", PORT), Api)
    server.daemon_threads = True
    print(f"listening on port {PORT}")
    server.serve_forever()


if __name__ == "__main__":
    main()
