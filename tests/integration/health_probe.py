"""Asks an operator without a pause whether it lives, from a process that does nothing else.

`python health_probe.py URL` until its input ends; then it prints JSON: how many answers there were,
the failures, the slowest answer, and by how much this process itself was held up at most, all in
seconds. What held this one up on a busy machine held the operator up as well.
"""

from __future__ import annotations

import http.client
import json
import select
import sys
import time
from urllib.parse import urlsplit

_PAUSE = 0.05
_TIMEOUT = 10.0


def main(url: str) -> None:
    parts = urlsplit(url)
    answers, failures, slowest, held_up = 0, [], 0.0, 0.0
    while True:
        started = time.monotonic()
        ended = bool(select.select([sys.stdin], [], [], _PAUSE)[0])
        held_up = max(held_up, time.monotonic() - started - _PAUSE)
        if ended:
            break
        started = time.monotonic()
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
        try:
            connection.request("GET", parts.path)
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace")
            if answer.status != 200:
                failures.append(f"{answer.status}: {body}")
        except OSError as error:
            failures.append(repr(error))
        finally:
            connection.close()
        slowest = max(slowest, time.monotonic() - started)
        answers += 1
    found = {"answers": answers, "failures": failures, "slowest": slowest, "heldUp": held_up}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
