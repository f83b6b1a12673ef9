"""A server that speaks S3's reading half: signatures, ranges, listings, and faults on demand.

`python -m unit.checks.s3_server` serves a folder, for anyone who has the keys.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from aiohttp import web

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "verysecret/+key"}
REGION = "cn-north-4"
PAGE = 3

Content = bytes | Path
Fault = Callable[[web.Request], web.StreamResponse | None]


@dataclass
class S3Server:
    """One bucket `data-bucket`, by path (`/data-bucket/key`), or by host where `virtual`.

    Args:
        objects: By key; files are sent by sendfile, and never cut.
        keys: Who may read; None for anyone.
        token: The session token that requests must bear.
        virtual: The bucket is in the host's name: paths are keys.
        faults: Asked before each answer; the first answer that one gives is sent.
        cut: Send only so many bytes of each object's answer, then close, that often.
        then: The objects from the first answer on that is sent whole.
        hold: Set when the first request is there; what its answer then waits for.
    """

    objects: dict[str, Content]
    keys: dict[str, str] | None = field(default_factory=lambda: dict(KEYS))
    token: str | None = None
    virtual: bool = False
    faults: list[Fault] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    then: dict[str, Content] | None = None
    hold: tuple[asyncio.Event, asyncio.Event] | None = None
    seen: list[str] = field(default_factory=list)
    url: str = ""

    @asynccontextmanager
    async def serve(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[S3Server]:
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"{'https' if tls else 'http'}://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.rel_url} {request.headers.get('Range', '')}".strip())
        if self.hold is not None:
            (asked, go), self.hold = self.hold, None
            asked.set()
            await go.wait()
        while self.faults:
            if (answer := self.faults.pop(0)(request)) is not None:
                return answer
        if (refusal := self._refusal(request)) is not None:
            return refusal
        path = unquote(request.rel_url.raw_path[1:])
        if not self.virtual:
            bucket, _, path = path.partition("/")
            if bucket != "data-bucket":
                return failure(404, "NoSuchBucket")
        if not path:
            return self._list(request)
        if path not in self.objects:
            return failure(404, "NoSuchKey")
        content = self.objects[path]
        if isinstance(content, Path):
            return web.FileResponse(content)
        return await self._object(request, content)

    async def _object(self, request: web.Request, body: bytes) -> web.StreamResponse:
        tag = tag_of(body)
        if request.headers.get("If-Match", tag) != tag:
            return failure(412, "PreconditionFailed")
        first, last = map(
            int, re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"]).groups()
        )  # type: ignore[union-attr]
        if first >= len(body):
            return failure(416, "InvalidRange")
        part = body[first : last + 1]
        headers = {
            "Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(body)}",
            "Content-Length": str(len(part)),
            "ETag": tag,
        }
        answer = web.StreamResponse(status=206, headers=headers)
        await answer.prepare(request)
        if self.cut and (sent := self.cut.pop(0)) < len(part):
            await answer.write(part[:sent])
            assert request.transport is not None
            request.transport.close()
            return answer
        await answer.write(part)
        if self.then is not None:
            self.objects = self.then
        return answer

    def _list(self, request: web.Request) -> web.StreamResponse:
        prefix = request.query.get("prefix", "")
        after = request.query.get("continuation-token") or request.query.get("start-after", "")
        keys = [key for key in sorted(self.objects) if key.startswith(prefix) and key > after]
        page = keys[:PAGE]
        items = "".join(
            contents(key, size_of(self.objects[key]), tag_of(self.objects[key])) for key in page
        )
        more = len(keys) > PAGE
        last = escape(page[-1]) if page else ""
        follow = f"<NextContinuationToken>{last}</NextContinuationToken>" * more
        return listing(f"{items}<IsTruncated>{str(more).lower()}</IsTruncated>{follow}")

    def _refusal(self, request: web.Request) -> web.Response | None:
        """What a wrong or missing signature is answered with, quoting what it is given."""
        given = request.headers.get("Authorization", "").replace(", ", ",")
        if self.keys is None:
            return failure(400, "InvalidRequest") if given else None
        if not given:
            return failure(403, "AccessDenied")
        if request.headers.get("x-amz-security-token") != self.token:
            return failure(400, "InvalidToken")
        if f"Credential={self.keys['AWS_ACCESS_KEY_ID']}/" not in given:
            return failure(403, "InvalidAccessKeyId", given)
        if given != authorization(request, self.keys):
            return failure(403, "SignatureDoesNotMatch", given)
        return None


def authorization(request: web.Request, keys: dict[str, str]) -> str:
    """The header that a request should bear, from the request as it came over the wire."""
    names = re.search(r"SignedHeaders=([a-z0-9;-]+)", request.headers["Authorization"])
    assert names is not None
    assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names.group(1).split(";"))
    stamp = request.headers["x-amz-date"]
    query = "&".join(
        f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}"
        for name, value in sorted(request.query.items())
    )
    canonical = "\n".join(
        [
            request.method,
            request.rel_url.raw_path,
            query,
            *(f"{name}:{request.headers[name]}" for name in names.group(1).split(";")),
            "",
            names.group(1),
            hashlib.sha256(b"").hexdigest(),
        ]
    )
    scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
    secret = b"AWS4" + keys["AWS_SECRET_ACCESS_KEY"].encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = hmac.new(secret, text.encode(), "sha256").hexdigest()
    return (
        f"AWS4-HMAC-SHA256 Credential={keys['AWS_ACCESS_KEY_ID']}/{scope},"
        f"SignedHeaders={names.group(1)},Signature={signature}"
    )


def failure(status: int, code: str, detail: str = "") -> web.Response:
    text = f"<Error><Code>{code}</Code><Message>{escape(detail)}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


def size_of(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def tag_of(content: Content) -> str:
    """The MD5; of a file what aiohttp calls it by, no MD5 either, as of an upload in parts."""
    if isinstance(content, bytes):
        return f'"{hashlib.md5(content).hexdigest()}"'
    stat = content.stat()
    return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'


def contents(key: str, size: int, tag: str | None = None) -> str:
    """One object of a listing."""
    told = f"<ETag>{escape(tag)}</ETag>" if tag else ""
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"{told}<Size>{size}</Size></Contents>"
    )


def listing(inside: str) -> web.Response:
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    text = f"<?xml version='1.0'?><ListBucketResult {space}>{inside}</ListBucketResult>"
    return web.Response(text=text, content_type="application/xml")


async def _serve(objects: dict[str, Content]) -> None:
    async with S3Server(objects).serve() as server:
        print(json.dumps({"url": server.url}), flush=True)
        await asyncio.Event().wait()


def main(folder: str) -> None:
    """Serve the files of a folder until the process ends; prints the address."""
    root = Path(folder)
    found = [path for path in root.rglob("*") if path.is_file()]
    asyncio.run(_serve({path.relative_to(root).as_posix(): path for path in found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
