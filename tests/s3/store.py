"""The store as tests have it: its process, what is in it, and what it was asked."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cluster.commands import environment as inherited
from cluster.errors import ClusterError
from cluster.python_environment import PythonEnvironment

__all__ = ["ENVIRONMENT", "REGION", "Asked", "Store", "serving"]

REGION = "eu-west-1"

ENVIRONMENT = PythonEnvironment(
    name="s3",
    requirements=Path(__file__).with_name("requirements.txt"),
    what="an S3 store, 120 MB, half a minute",
    timeout=600.0,
)

_AMAZON = Path(__file__).with_name("amazon.py")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Asked:
    """A request as the store got it.

    Attributes:
        path: `/bucket/key`, decoded.
        first: The first byte of its range; None without one.
        tag: Its If-Match.
    """

    path: str
    first: int | None
    tag: str | None


@dataclass(frozen=True)
class Store:
    """A store that is running.

    Attributes:
        url: Its address.
        keys: Of its owner, as variables of the environment.
        process: Its process.
    """

    url: str
    keys: Mapping[str, str]
    process: subprocess.Popen[str]

    def call(self, service: str, call: str, /, **arguments: Any) -> Any:
        """What boto3's method of that name, called by the owner, returns.

        Raises:
            ClusterError: What boto3 raised.
        """
        assert self.process.stdin is not None
        asked = {"service": service, "call": call, "arguments": arguments}
        self.process.stdin.write(f"{json.dumps(asked)}\n")
        self.process.stdin.flush()
        answer = self._line()
        if "error" in answer:
            raise ClusterError(f"{service} {call}: {answer['error']}")
        return answer["result"]

    def make_bucket(self, name: str) -> None:
        """Make a bucket."""
        where = {"LocationConstraint": REGION}
        self.call("s3", "create_bucket", Bucket=name, CreateBucketConfiguration=where)

    def put(self, bucket: str, objects: Mapping[str, bytes], scratch: Path) -> None:
        """Put objects, by key, as `upload_file` does: those of more than 8 MB in parts."""
        for key, content in objects.items():
            scratch.write_bytes(content)
            self.call("s3", "upload_file", Filename=str(scratch), Bucket=bucket, Key=key)

    def user(self, name: str, *statements: Mapping[str, Any]) -> dict[str, str]:
        """The keys of a new user who may do what the statements of its policy say."""
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.call("iam", "create_user", UserName=name)
        self.call("iam", "put_user_policy", UserName=name, PolicyName="all", PolicyDocument=policy)
        key = self.call("iam", "create_access_key", UserName=name)["AccessKey"]
        return _variables(key["AccessKeyId"], key["SecretAccessKey"])

    @contextmanager
    def for_anyone(self) -> Iterator[None]:
        """Ask nobody for keys until left: then objects have their own rights, and no more."""
        self._moto("reset-auth", b"inf")
        try:
            yield
        finally:
            self._moto("reset-auth", b"0")

    @contextmanager
    def recorded(self) -> Iterator[list[Asked]]:
        """What is asked until left; it is in the list then."""
        asked: list[Asked] = []
        self._moto("recorder/reset-recording", b"")
        self._moto("recorder/start-recording", b"")
        try:
            yield asked
        finally:
            self._moto("recorder/stop-recording", b"")
        for line in self._moto("recorder/download-recording").splitlines():
            entry = json.loads(line)
            headers = entry["headers"]
            start = headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
            asked.append(
                Asked(
                    unquote(urlsplit(entry["url"]).path),
                    int(start) if start else None,
                    headers.get("If-Match"),
                )
            )

    def _moto(self, path: str, body: bytes | None = None) -> str:
        """Ask the server's own interface (https://docs.getmoto.org/en/latest/docs/server_mode.html)."""
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.url}/moto-api/{path}", body, plain)
        with _OPENER.open(request, timeout=30) as answer:
            return bytes(answer.read()).decode()

    def _line(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ClusterError(f"the store ended with {self.process.wait()}")
        return json.loads(line)


@contextmanager
def serving(folder: Path, page: int = 1000) -> Iterator[Store]:
    """An empty store, on a free port of loopback, until left.

    Args:
        folder: For its log and what it records.
        page: The most objects in one page of a listing; 1000 are Amazon's.

    Raises:
        ClusterError: It cannot be installed, or ended at its start.
    """
    python = ENVIRONMENT.install() / "bin" / "python"
    settings = {"MOTO_RECORDER_FILEPATH": str(folder / "recording"), "NO_PROXY": "*"}
    settings["MOTO_S3_DEFAULT_MAX_KEYS"] = str(page)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(python), str(_AMAZON), REGION],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=inherited() | settings,
        )
    with process:
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            if not line:
                raise ClusterError(f"no store: {(folder / 'log').read_text(errors='replace')}")
            told = json.loads(line)
            yield Store(told["url"], _variables(*told["keys"]), process)
        finally:
            process.kill()


def _variables(access: str, secret: str) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}
