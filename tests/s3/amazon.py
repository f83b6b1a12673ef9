"""A store, and Amazon's own client of it, in one process with the packages of `requirements.txt`.

Prints the store's address and the keys of its owner, as JSON. Then each line of standard input is a
call of boto3, `{"service", "call", "arguments"}`, and its outcome a line, `{"result"}` or
`{"error"}`.
Every request must be signed by a key that moto's IAM knows, and be allowed to that key's user.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from moto.server import ThreadedMotoServer

_OWNER = "owner"
_EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


def main(region: str) -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    # Until the keys count, any will do to make the owner's.
    iam = boto3.client("iam", region, **_where(url, "any", "any"))
    iam.create_user(UserName=_OWNER)
    iam.put_user_policy(
        UserName=_OWNER, PolicyName="everything", PolicyDocument=json.dumps(_EVERYTHING)
    )
    key = iam.create_access_key(UserName=_OWNER)["AccessKey"]
    _enforce_signatures(url)
    pair = (key["AccessKeyId"], key["SecretAccessKey"])
    print(json.dumps({"url": url, "keys": pair}), flush=True)
    clients: dict[str, Any] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        service = asked["service"]
        if service not in clients:
            clients[service] = boto3.client(service, region, **_where(url, *pair))
        try:
            result = getattr(clients[service], asked["call"])(**asked["arguments"])
            answer = {"result": result}
        except (BotoCoreError, ClientError, OSError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=str), flush=True)


def _where(url: str, access: str, secret: str) -> dict[str, str]:
    return {"endpoint_url": url, "aws_access_key_id": access, "aws_secret_access_key": secret}


def _enforce_signatures(url: str) -> None:
    """Have the keys of the first 0 requests not count (https://docs.getmoto.org/en/latest/docs/iam.html)."""
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain, method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()


if __name__ == "__main__":
    main(*sys.argv[1:])
