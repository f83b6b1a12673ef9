"""A server that speaks what the two hubs' own clients ask, with faults on demand.

Of Hugging Face: a revision's info, its tree in pages, `resolve` with a redirect of large files to
another path, as to a CDN; errors by X-Error-Code. Of ModelScope: `repo/files` and `repo`. Runs in a
thread of its own, so that a client may block; `python -m unit.download.hub_server` serves a folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

Files = dict[str, bytes | Path]

LARGE = 1024
"""Files of this size on are LFS: told by their SHA-256, and fetched from elsewhere."""

PAGE = 3


def oid(content: bytes | Path, algorithm: str = "sha256") -> str:
    digest = hashlib.new(algorithm)
    if isinstance(content, bytes):
        digest.update(content)
    else:
        with content.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


@dataclass
class HubServer:
    """Repositories by name.

    Args:
        repos: The files of the newest commit of each.
        commits: The name of that commit.
        branches: What it is called besides.
        token: What requests must bear; None for nothing.
        gated: Its terms were not accepted.
        cut: Bytes of content after which an answer ends and its connection closes, answer by
            answer; None for whole ones.
        wrong: Paths whose bytes are not those of the listing.
        down: Every answer is a 503.
        rate: Bytes a second of each answer; None for no limit.
    """

    repos: dict[str, Files]
    commits: dict[str, str] = field(default_factory=dict)
    branches: tuple[str, ...] = ("main", "master")
    token: str | None = None
    gated: bool = False
    cut: list[int | None] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)
    down: bool = False
    rate: float | None = None
    sent: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    moved: threading.Event = field(default_factory=threading.Event)
    hashes: dict[Path, str] = field(default_factory=dict)
    url: str = ""

    def commit(self, repo: str) -> str:
        return self.commits.get(repo) or hashlib.sha1(repo.encode()).hexdigest()

    @contextmanager
    def serving(self, host: str = "127.0.0.1", port: int = 0) -> Iterator[HubServer]:
        started, loop = threading.Event(), asyncio.new_event_loop()
        stop = asyncio.Event()

        async def work() -> None:
            app = web.Application()
            app.router.add_get("/api/models/{repo:[^/]+/[^/]+}/revision/{revision}", self._info)
            app.router.add_get("/api/models/{repo:[^/]+/[^/]+}/tree/{revision}", self._tree)
            app.router.add_get("/api/v1/models/{repo:[^/]+/[^/]+}/repo/files", self._ms_files)
            app.router.add_get("/api/v1/models/{repo:[^/]+/[^/]+}/repo", self._ms_file)
            app.router.add_get("/sent", self._sent)
            app.router.add_get("/cdn/{repo:[^/]+/[^/]+}/{path:.+}", self._cdn)
            app.router.add_get("/{repo:[^/]+/[^/]+}/resolve/{revision}/{path:.+}", self._resolve)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, host, port)
            await site.start()
            bound = runner.addresses[0]
            self.url = f"http://{bound[0]}:{bound[1]}"
            started.set()
            await stop.wait()
            await runner.cleanup()

        thread = threading.Thread(target=loop.run_until_complete, args=(work(),), daemon=True)
        thread.start()
        if not started.wait(10):
            raise RuntimeError("the hub's stand-in did not start")
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            loop.close()

    def _refusal(self, request: web.Request) -> web.Response | None:
        self.asked.append(request.path_qs)
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if bearer:
            self.tokens.add(bearer)
        if self.down:
            return web.Response(status=503)
        if self.token is not None and bearer != self.token:
            return web.Response(
                status=401,
                headers={"X-Error-Message": "Invalid credentials in Authorization header"},
            )
        repo = request.match_info["repo"]
        if repo not in self.repos:
            return web.Response(status=404, headers={"X-Error-Code": "RepoNotFound"})
        if self.gated:
            return web.Response(status=403, headers={"X-Error-Code": "GatedRepo"})
        revision = request.match_info.get("revision") or request.query.get("Revision", "")
        if revision not in (*self.branches, self.commit(repo)):
            return web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        return None

    async def _sent(self, request: web.Request) -> web.Response:
        """Bytes of content by file: for tests that have no other way to see it."""
        return web.json_response(self.sent)

    async def _info(self, request: web.Request) -> web.Response:
        if (refused := self._refusal(request)) is not None:
            return refused
        repo = request.match_info["repo"]
        return web.json_response(
            {
                "_id": "0",
                "id": repo,
                "sha": self.commit(repo),
                "private": False,
                "siblings": [{"rfilename": path} for path in self.repos[repo]],
            }
        )

    async def _tree(self, request: web.Request) -> web.Response:
        if (refused := self._refusal(request)) is not None:
            return refused
        files = sorted(self.repos[request.match_info["repo"]].items())
        start = int(request.query.get("cursor", "0"))
        entries = [self._entry(path, content) for path, content in files[start : start + PAGE]]
        headers = {}
        if start + PAGE < len(files):
            following = request.url.update_query(cursor=str(start + PAGE))
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response(entries, headers=headers)

    def _entry(self, path: str, content: bytes | Path) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": path, "size": size(content)}
        if size(content) >= LARGE:
            sha256 = self._sha256(content)
            entry["lfs"] = {"oid": sha256, "size": size(content), "pointerSize": 134}
            return entry | {"oid": hashlib.sha1(sha256.encode()).hexdigest()}
        return entry | {"oid": oid(content, "sha1")}

    def _sha256(self, content: bytes | Path) -> str:
        if isinstance(content, bytes):
            return oid(content)
        if content not in self.hashes:
            self.hashes[content] = oid(content)
        return self.hashes[content]

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        if (refused := self._refusal(request)) is not None:
            return refused
        repo, path = request.match_info["repo"], request.match_info["path"]
        content = self.repos[repo].get(path)
        headers = {"X-Repo-Commit": self.commit(repo)}
        if content is None:
            return web.Response(status=404, headers=headers | {"X-Error-Code": "EntryNotFound"})
        if size(content) < LARGE:
            return await self._content(request, path, content, headers)
        headers |= {
            "X-Linked-Size": str(size(content)),
            "X-Linked-ETag": f'"{self._sha256(content)}"',
            "Location": f"{request.scheme}://{request.host}/cdn/{repo}/{path}",
        }
        return web.Response(status=302, headers=headers)

    async def _cdn(self, request: web.Request) -> web.StreamResponse:
        repo, path = request.match_info["repo"], request.match_info["path"]
        # A client that follows a redirect to the same host looks for it there.
        headers = {"X-Repo-Commit": self.commit(repo)}
        return await self._content(request, path, self.repos[repo][path], headers)

    async def _ms_files(self, request: web.Request) -> web.Response:
        if (refused := self._refusal(request)) is not None:
            code = {"Code": 10010205001, "Message": refused.headers.get("X-Error-Code", "no")}
            return web.json_response(code, status=refused.status)
        files = [
            {
                "Path": path,
                "Name": path.rpartition("/")[2],
                "Type": "blob",
                "Size": size(content),
                "Sha256": self._sha256(content),
            }
            for path, content in self.repos[request.match_info["repo"]].items()
        ]
        return web.json_response({"Code": 200, "Data": {"Files": files}})

    async def _ms_file(self, request: web.Request) -> web.StreamResponse:
        if (refused := self._refusal(request)) is not None:
            return web.json_response({"Code": 404, "Message": "no"}, status=refused.status)
        path = request.query["FilePath"]
        content = self.repos[request.match_info["repo"]].get(path)
        if content is None:
            return web.json_response({"Code": 404, "Message": "no file"}, status=404)
        return await self._content(request, path, content, {})

    async def _content(
        self, request: web.Request, path: str, content: bytes | Path, headers: dict[str, str]
    ) -> web.StreamResponse:
        total = size(content)
        headers["ETag"] = f'"{self._sha256(content)}"'
        if isinstance(content, Path) and not self.cut and self.rate is None:
            return web.FileResponse(content, headers=headers)
        data = content if isinstance(content, bytes) else _read(content)
        if path in self.wrong:
            data = bytes(len(data))
        start = request.http_range.start or 0
        status = 200
        if "Range" in request.headers:
            if start >= total:
                return web.Response(status=416, headers={"Content-Range": f"bytes */{total}"})
            status = 206
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        answer = web.StreamResponse(status=status, headers=headers)
        answer.content_length = total - start
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        limit = self.cut.pop(0) if self.cut and total >= LARGE else None
        end = total if limit is None else min(total, start + limit)
        step = 64 * 1024 if self.rate is None else max(1, int(self.rate / 20))
        for at in range(start, end, step):
            block = data[at : min(at + step, end)]
            await answer.write(block)
            self.sent[path] = self.sent.get(path, 0) + len(block)
            self.moved.set()
            if self.rate is not None:
                await asyncio.sleep(len(block) / self.rate)
        if end < total and request.transport is not None:
            request.transport.close()
        return answer


def _read(path: Path) -> bytes:
    return path.read_bytes()


def main(folder: str, host: str = "127.0.0.1", port: str = "0", rate: str = "") -> None:
    """Serve the folders owner/name below a folder until the process ends.

    Args:
        folder: That folder.
        host: The address to listen on.
        port: The port; 0 for a free one.
        rate: Bytes a second of each answer; no limit when empty.
    """
    root = Path(folder)
    repos: dict[str, Files] = {}
    for path in sorted(root.glob("*/*/**/*")):
        if path.is_file():
            owner, name, *rest = path.relative_to(root).parts
            repos.setdefault(f"{owner}/{name}", {})["/".join(rest)] = path
    with HubServer(repos, rate=float(rate) if rate else None).serving(host, int(port)) as hub:
        print(json.dumps({"url": hub.url}), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
