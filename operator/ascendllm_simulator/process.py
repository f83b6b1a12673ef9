"""The process: loads, listens, and exits on SIGTERM as vLLM 0.18 does.

Source: vllm 0.18.0, `entrypoints/launcher.py`, `v1/engine/core.py` (_handle_shutdown). After
SIGTERM the port stays open and the engine aborts new requests; running requests are drained for
`--shutdown-timeout` seconds, or aborted at once if that is 0. While the engine loads, the port is
bound but does not accept connections, and SIGTERM ends the process. A headless worker of a
multi-node server (`group`) exits at once on SIGTERM, because it has no requests of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

from ascendllm_simulator.behaviour import CRASHES
from ascendllm_simulator.config import VERSION, LoadError, ServerConfig
from ascendllm_simulator.group import Gathering, Place, gather, join
from ascendllm_simulator.load_log import front_end_trace, load_log
from ascendllm_simulator.server import build_app, build_service
from ascendllm_simulator.serving import Service

__all__ = ["serve"]

T = TypeVar("T")

_TERMINATED = 130
_FLUSH_SECONDS = 5.0
_DEATH_SECONDS = 0.1
"""How long the server continues to respond after the engine died."""


async def serve(config: ServerConfig) -> int:
    """Run the server until it exits.

    Returns:
        The exit code.

    Raises:
        LoadError: The port is in use.
    """
    terminated = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, terminated.set)
    if config.place is not None and config.place.headless:
        return await _follow(config, config.place, terminated)
    with _bind(config.host, config.port) as sock:
        async with contextlib.AsyncExitStack() as stack:
            try:
                others = await stack.enter_async_context(gather(config.place))
            except OSError as error:
                raise LoadError(f"zmq.error.ZMQError: {error}") from error
            failed = await _load(config, terminated, others)
            if failed is not None:
                return failed
            return await _listen(config, sock, terminated, others)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise _taken(error, host, port) from error
    return sock


def _taken(error: OSError, host: str, port: int) -> LoadError:
    return LoadError(f"OSError: [Errno {error.errno}] {error.strerror}: {host}:{port}")


async def _follow(config: ServerConfig, place: Place, terminated: asyncio.Event) -> int:
    """Run a headless worker until SIGTERM or until loading fails; return the exit code."""
    _log(f"Launching vLLM (v{VERSION}) headless, head node address {place.address}:{place.port}")
    joined = await _first(join(place), terminated)
    if joined is None:
        return 0
    reader, writer = joined
    failed = await _load(config, terminated)
    if failed is not None:
        return failed
    if await _first(reader.read(), terminated) is not None:
        _log("the leader is gone: nothing will be computed any more", "ERROR")
        await terminated.wait()
    _log("Shutting down.")
    writer.close()
    return 0


async def _first(step: Coroutine[Any, Any, T], terminated: asyncio.Event) -> T | None:
    """The result of a step; None if SIGTERM arrives first."""
    task, stop = asyncio.create_task(step), asyncio.create_task(terminated.wait())
    await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
    for either in (task, stop):
        either.cancel()
    return None if terminated.is_set() else task.result()


async def _load(
    config: ServerConfig, terminated: asyncio.Event, others: Gathering | None = None
) -> int | None:
    """Wait for the workers and for the load time; return an exit code if the load fails."""
    behaviour = config.behaviour
    _log(f"vLLM API server version {VERSION} (simulated by ascendllm, no model is computed)")
    _log(f"model {config.root}, max_seq_len={config.max_model_len}")
    if others is not None:
        _log(f"Waiting for {others.place.size - 1} remote process(es) to join.")
        if await _first(others.complete.wait(), terminated) is None:
            return _TERMINATED
    if not await _write_log(config, terminated):
        _log("KeyboardInterrupt: terminated")
        return _TERMINATED
    crash = behaviour.fails("crashOnLoad")
    if crash is not None:
        cause = str(crash.get("cause"))
        _log("EngineCore failed to start.", "ERROR")
        print(CRASHES.get(cause, cause), flush=True)
        if crash.get("trace"):
            print(front_end_trace(), flush=True)
        return int(crash.get("exitCode"))
    return None


async def _write_log(config: ServerConfig, terminated: asyncio.Event) -> bool:
    """Wait for the load time and log what vLLM logs; return False if SIGTERM arrives."""
    behaviour = config.behaviour
    for seconds, line in load_log(config.root, behaviour.load_seconds, behaviour.capture_seconds):
        if line:
            _log(line)
        wait = None if line and behaviour.fails("loadForever") else seconds
        if wait == 0:
            continue
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(terminated.wait(), wait)
            return False
    return not terminated.is_set()


async def _listen(
    config: ServerConfig,
    sock: socket.socket,
    terminated: asyncio.Event,
    others: Gathering | None,
) -> int:
    service = build_service(config)
    runner = web.AppRunner(
        build_app(service),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_FLUSH_SECONDS,
    )
    await runner.setup()
    try:
        host, port = sock.getsockname()[:2]
        try:
            await web.SockSite(runner, sock, backlog=2048).start()
        except OSError as error:  # another server bound the same port and listened first
            raise _taken(error, host, port) from error
        _log(f"Starting vLLM API server 0 on http://{host}:{port}")
        _log("Application startup complete.")
        return await _until_end(service, terminated, others)
    finally:
        await runner.cleanup()
        _log("Shutting down FastAPI HTTP server.")


async def _until_end(service: Service, terminated: asyncio.Event, others: Gathering | None) -> int:
    """Wait for SIGTERM or the death of the engine; return the exit code."""
    config = service.config
    stop = asyncio.create_task(terminated.wait())
    death = asyncio.create_task(service.on_death.wait())
    lost = asyncio.create_task((others.lost if others is not None else asyncio.Event()).wait())
    dies = config.behaviour.fails("falseReady") or config.behaviour.fails("dieAfter")
    waited = {stop, lost} if dies is not None and dies.get("keepAlive") else {stop, death, lost}
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (stop, death, lost):
            task.cancel()
    if others is not None and others.lost.is_set() and not terminated.is_set():
        service.engine.die()
        _log("A remote process is gone: engine core died, shutting down client.", "ERROR")
        await asyncio.sleep(_DEATH_SECONDS)
        return 1
    if dies is not None and not terminated.is_set():
        _log("Engine core proc died unexpectedly, shutting down client.", "ERROR")
        await asyncio.sleep(_DEATH_SECONDS)
        return int(dies.get("exitCode"))
    grace = config.shutdown_timeout
    running = service.engine.unfinished
    _log(f"Shutdown initiated (timeout={grace})")
    if running:
        what = f"Draining {running} in-flight requests" if grace else f"Aborting {running} requests"
        _log(what)
    await service.engine.shut_down(grace)
    _log("Shutdown complete")
    return 0


def _log(message: str, level: str = "INFO") -> None:
    now = time.strftime("%m-%d %H:%M:%S")
    print(f"{level} {now} [ascendllm_simulator] {message}", flush=True)
