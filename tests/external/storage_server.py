"""A server on loopback that answers as the object storages of Google and of Azure do.

The bucket's or container's name says how: `none` is not there, `busy` is busy every other time,
`stalled` never answers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

from loopback import Handler, Server

OBJECT = b"first half, " + b"second half."

_DATE = "Wed, 01 Jul 2026 00:00:00 GMT"
_LISTED = (
    '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://a/"'
    ' ContainerName="images"><Blobs><Blob><Name>old</Name><Properties><Content-Length>24'
    "</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob></Blobs><NextMarker/></EnumerationResults>"
)


class _Handler(Handler):
    def _answer(self) -> None:
        length = self.headers.get("Content-Length")
        self.body = self.rfile.read(int(length)) if length else self._chunks()
        parts = urlsplit(self.path)
        self.query = parts.query
        asked = f"{self.command} {parts.path}"
        self.server.asked.append(asked)  # type: ignore[attr-defined]
        azure = parts.path.startswith("/account")
        names = parts.path.split("/")[2:] if azure else re.split("/b/", parts.path)[1:]
        match names[0] if azure and names else (names or [""])[0].split("/")[0]:
            case "none":
                error = {"error": {"code": 404, "message": "no such bucket"}}
                self._send(404, json.dumps(error), x_ms_error_code="ContainerNotFound")
            case "busy" if self._is_odd(asked):
                self._send(503, "{}")
            case "stalled":
                self.server.stopped.wait(60)  # type: ignore[attr-defined]
            case _:
                self._azure() if azure else self._google(parts.path)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer

    def _is_odd(self, asked: str) -> bool:
        counted: Counter[str] = self.server.counted  # type: ignore[attr-defined]
        counted[asked] += 1
        return counted[asked] % 2 == 1

    def _chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return b""
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    # Google.

    def _google(self, path: str) -> None:
        made = {"name": "new", "bucket": "images", "generation": "1", "metageneration": "1"}
        if path.startswith("/batch"):
            self._google_batch()
        elif path.startswith("/upload") and "uploadType=resumable" in self.query:
            place = f"http://{self.headers['Host']}{path}?upload_id=1"
            self._send(200, "", Location=place)
        elif "upload_id" in self.query and self.headers["Content-Range"].endswith("/*"):
            last = re.search(r"-(\d+)/", self.headers["Content-Range"])
            assert last is not None
            self._send(308, "", Range=f"bytes=0-{last[1]}")
        elif path.startswith("/download"):
            self._send(200, OBJECT.decode())
        elif path.endswith("/o") and self.command == "GET":
            self._send(200, json.dumps({"items": [made]}))
        else:
            self._send(200, json.dumps(made))

    def _google_batch(self) -> None:
        part = (
            "--of\r\nContent-Type: application/http\r\nContent-ID: <response-{}>\r\n\r\n"
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n\r\n"
        )
        parts = [part.format(number) for number in range(self.body.count(b"DELETE "))]
        self._send(200, "".join(parts) + "--of--", Content_Type='multipart/mixed; boundary="of"')

    # Azure.

    def _azure(self) -> None:
        told = {"ETag": '"1"', "Last_Modified": _DATE, "x_ms_request_server_encrypted": "true"}
        if self.command == "PUT":
            self._send(201, "", **told)
        elif self.command == "DELETE":
            self._send(202, "")
        elif self.command == "HEAD":
            self._send(200, "", x_ms_blob_type="BlockBlob", **told)
        elif "comp=list" in self.query:
            self._send(200, _LISTED, Content_Type="application/xml")
        elif "stream=1" in self.query:
            self._send(200, OBJECT.decode())
        else:
            asked = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("x-ms-range", "bytes=0-99"))
            assert asked is not None
            first, last = int(asked[1]), min(int(asked[2]), len(OBJECT) - 1)
            place = f"bytes {first}-{last}/{len(OBJECT)}"
            part = OBJECT[first : last + 1].decode()
            self._send(206, part, Content_Range=place, x_ms_blob_type="BlockBlob", **told)

    def _send(self, status: int, body: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())


def storage_server() -> AbstractContextManager[Server]:
    """The server, in a thread."""
    return Server(_Handler, counted=Counter()).running()
