"""All files of a listing, several at a time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from ascendllm.checks.retry import RetryPolicy
from ascendllm.download.folder import Folder
from ascendllm.download.listing import Listing, RemoteFile
from ascendllm.download.progress import Meter, Progress
from ascendllm.download.sources import Remote
from ascendllm.exceptions import DownloadError

__all__ = ["WORKERS", "Fetching", "is_listed_anew"]

WORKERS = 8
"""As the hubs' own clients have it."""

_RETRY = RetryPolicy(attempts=6, first=2.0, longest=30.0)
"""Tries of one file with not a byte between them."""

_SILENCE_SECONDS = 900.0
_TURN_SECONDS = 0.2


def is_listed_anew(error: BaseException) -> bool:
    """Whether a failure means that the source is no longer what the listing says."""
    return isinstance(error, DownloadError) and error.reason == "SourceChanged"


class Fetching:
    """The files on their way.

    The workers are daemons: whoever gives up ends the process, and what came stays.

    Args:
        remote: Whom to ask.
        listing: What for.
        folder: Where to.
    """

    def __init__(self, remote: Remote, listing: Listing, folder: Folder) -> None:
        self._remote = remote
        self._listing = listing
        self._folder = folder
        self._todo: queue.SimpleQueue[RemoteFile] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._failure: BaseException | None = None

    def run(self, tell: Callable[[Progress], object], interval: float) -> None:
        """Fetch what is missing.

        Args:
            tell: Called every `interval` seconds, and at the end.
            interval: Seconds.

        Raises:
            DownloadError: Of the first file that could not be brought.
        """
        for file in self._listing.files:
            if not (self._folder.partial / file.path).exists():
                self._todo.put(file)
        workers = [
            threading.Thread(target=self._work, daemon=True, name=f"fetch-{number}")
            for number in range(min(WORKERS, self._todo.qsize()))
        ]
        meter, seen, heard = Meter(), -1, time.monotonic()
        for worker in workers:
            worker.start()
        told = time.monotonic()
        tell(self._progress(meter))
        while (busy := next(filter(threading.Thread.is_alive, workers), None)) is not None:
            if self._is_over():
                break
            busy.join(_TURN_SECONDS)
            if time.monotonic() - told >= interval:
                told = time.monotonic()
                progress = self._progress(meter)
                tell(progress)
                if progress.done != seen:
                    seen, heard = progress.done, told
                elif told - heard > _SILENCE_SECONDS:
                    raise DownloadError(
                        "SourceUnreachable",
                        f"not a byte came for {_SILENCE_SECONDS:.0f} s, {progress.done} of "
                        f"{progress.total} are there: it goes on from them",
                        again=True,
                    )
        self._stop.set()
        if self._failure is not None:
            raise self._failure
        tell(self._progress(meter))

    def _is_over(self) -> bool:
        """Whether what failed ends the process, workers and all.

        Files that are listed anew are fetched by other workers: these first end the files that they
        are at, since two that go on with one would spoil it.
        """
        failure = self._failure
        return failure is not None and not is_listed_anew(failure)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                file = self._todo.get_nowait()
            except queue.Empty:
                return
            try:
                self._fetch(file)
            except BaseException as error:
                self._failure = self._failure or error
                self._stop.set()
                return

    def _fetch(self, file: RemoteFile) -> None:
        target = self._folder.partial / file.path
        attempt = 0
        while True:
            before = self._bytes_of(file)
            try:
                with self._folder.explained():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self._remote.fetch(file, self._listing.revision, target)
                return
            except DownloadError as error:
                attempt = 1 if self._bytes_of(file) > before else attempt + 1
                worth_it = error.again and not is_listed_anew(error)
                if not worth_it or attempt >= _RETRY.attempts:
                    raise
                if self._stop.wait(_RETRY.pause(attempt)):
                    return

    def _bytes_of(self, file: RemoteFile) -> int:
        target = self._folder.partial / file.path
        for path in (target, self._remote.part_of(target)):
            try:
                return min(path.stat().st_size, file.size)
            except OSError:
                continue
        return 0

    def missing(self) -> int:
        """Bytes that have not come yet."""
        return self._listing.total - sum(map(self._bytes_of, self._listing.files))

    def _progress(self, meter: Meter) -> Progress:
        done = sum(map(self._bytes_of, self._listing.files))
        whole = sum((self._folder.partial / file.path).exists() for file in self._listing.files)
        rate, eta = meter.look(time.monotonic(), done, self._listing.total)
        return Progress(done, self._listing.total, whole, len(self._listing.files), rate, eta)
