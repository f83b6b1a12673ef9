"""Whether the client kept up: what it could not measure is not reported.

Two things of the client's own can spoil figures.

- The moments blur: a request leaves somewhen while it is written (a process that loses its core
  there comes back late), and a chunk's moment is late where the kernel gives no time of arrival.
  Both together may be half a millisecond plus 2 % of the mean TTFT on average: by so much at most
  is it too long.
- A request is sent late: after the moment at which it was due (open loop), or after the end of the
  one before it (closed loop). Its own clock starts when it leaves, so no latency shows it, but the
  server had less to do than was asked. On average that may be 20 ms plus 2 % of the mean E2EL:
  where answers take seconds, a closed loop then held 97 % of its concurrency and more.
"""

from __future__ import annotations

from ascendllm.checks.bench.measured import Measured
from ascendllm.checks.bench.tally import Tally
from ascendllm.exceptions import CheckError

__all__ = ["SEND_FLOOR_MS", "SHARE", "STAMP_FLOOR_MS", "keep_up"]

SHARE = 0.02
STAMP_FLOOR_MS = 0.5
SEND_FLOOR_MS = 20.0

_REMEDY = "give it more processes (--processes), pods (--shards) or cores, or ask for less load"


def keep_up(measured: Measured, processes: int) -> None:
    """Refuse figures that the client itself has spoiled.

    Raises:
        CheckError: `ClientTooSlow`, with what was late, by how much, and the remedy.
    """
    ttft, e2el = _mean(measured.ttft), _mean(measured.e2el)
    blur = _mean(measured.start_blur) + _mean(measured.stamp_lag)
    if len(measured.stamp_lag):
        # Without the kernel's stamps, waiting for a core makes a chunk late as well.
        blur += 1000 * measured.run_delay / len(measured.stamp_lag)
    _hold(
        "requests or chunks were timed",
        blur,
        STAMP_FLOOR_MS + SHARE * ttft,
        "TTFT",
        ttft,
        processes,
    )
    sent_late = _mean(measured.send_lag)
    _hold("requests were sent", sent_late, SEND_FLOOR_MS + SHARE * e2el, "E2EL", e2el, processes)


def _hold(what: str, late: float, most: float, metric: str, latency: float, processes: int) -> None:
    if late > most:
        raise CheckError(
            "ClientTooSlow",
            f"{what} {late:.2f} ms late on average, where {most:.2f} ms is the most beside a mean "
            f"{metric} of {latency:.2f} ms: the load generator ({processes} processes here) could "
            f"not keep up, so there are no figures; {_REMEDY}",
        )


def _mean(tally: Tally) -> float:
    return float(tally.mean_ms()) if len(tally) else 0.0
