"""The HTTP server: routes, API keys, and errors in vLLM's format."""

from __future__ import annotations

import functools
import hmac
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from ascendllm_simulator import tokenizer
from ascendllm_simulator.chat import create_chat_completion, render
from ascendllm_simulator.completions import create_completion
from ascendllm_simulator.config import VERSION, ServerConfig
from ascendllm_simulator.engine import Engine
from ascendllm_simulator.errors import ApiError, answer, server_error
from ascendllm_simulator.fault_injector import FaultInjector
from ascendllm_simulator.mmlu import MmluAnswerer
from ascendllm_simulator.protocol import DetokenizeRequest, TokenizeRequest, parse
from ascendllm_simulator.serving import Service, check_model, random_id, read_body

__all__ = ["build_app", "build_service"]

_logger = logging.getLogger(__name__)

_BODY_LIMIT = 64 * 1024 * 1024

Handler = Callable[[Service, web.Request], Awaitable[web.StreamResponse]]


def build_service(config: ServerConfig) -> Service:
    """Build the engine and the other objects that handlers use; needs a running event loop."""
    behaviour = config.behaviour
    answerer = MmluAnswerer(behaviour.accuracy, config.key)
    return Service(config, Engine(config), answerer, FaultInjector(behaviour))


def build_app(service: Service) -> web.Application:
    """Build the application with every route of the server."""
    app = web.Application(client_max_size=_BODY_LIMIT)
    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/health", _health),
        ("GET", "/ping", _health),
        ("POST", "/ping", _health),
        ("GET", "/version", _version),
        ("GET", "/load", _load),
        ("GET", "/metrics", _metrics),
        ("GET", "/v1/models", _models),
        ("POST", "/v1/completions", create_completion),
        ("POST", "/v1/chat/completions", create_chat_completion),
    ]
    if service.config.behaviour.fails("noTokenize") is None:
        routes += [("POST", "/tokenize", _tokenize), ("POST", "/detokenize", _detokenize)]
    for method, path, handler in routes:
        app.router.add_route(method, path, functools.partial(_guard, service, handler))
    app.router.add_route("*", "/{path:.*}", functools.partial(_guard, service, _nowhere))
    return app


async def _guard(service: Service, handler: Handler, http: web.Request) -> web.StreamResponse:
    """Check the API key, and turn errors into responses."""
    keys = service.config.api_keys
    if keys and http.path.startswith("/v1") and http.method != "OPTIONS" and not _knows(http, keys):
        return answer({"error": "Unauthorized"}, status=401)
    try:
        return await handler(service, http)
    except ApiError as error:
        limited = service.config.behaviour.fails("rateLimit")
        if error.status == 429 and limited is not None:
            return error.response({"Retry-After": str(limited.get("retryAfterSeconds"))})
        return await _close(http, error) if error.closes else error.response()
    except web.HTTPRequestEntityTooLarge:
        return ApiError(f"the body has more than {_BODY_LIMIT} bytes", status=413).response()
    except (ConnectionError, web.HTTPException):
        raise
    except Exception as error:
        _logger.exception("%s %s failed", http.method, http.path)
        return server_error(str(error)).response()


async def _close(http: web.Request, error: ApiError) -> web.Response:
    """Send a response, then close the connection without announcing it."""
    response = error.response()
    await response.prepare(http)
    await response.write_eof()
    if http.transport is not None:
        http.transport.close()
    return response


def _knows(http: web.Request, keys: tuple[str, ...]) -> bool:
    scheme, _, given = http.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    token = given.encode("utf-8", "surrogateescape")
    return any([hmac.compare_digest(token, key.encode()) for key in keys])


async def _nowhere(service: Service, http: web.Request) -> web.Response:
    methods: dict[str, list[str]] = {}
    for route in http.app.router.routes():
        if route.resource is not None and route.method not in ("*", "HEAD"):
            methods.setdefault(route.resource.canonical, []).append(route.method)
    if http.path in methods:
        # FastAPI lists the methods of the first route that matches the path.
        allowed = {"Allow": methods[http.path][0]}
        return answer({"detail": "Method Not Allowed"}, status=405, headers=allowed)
    if (path := http.path.rstrip("/")) in methods:
        return web.Response(status=307, headers={"Location": str(http.url.with_path(path))})
    return answer({"detail": "Not Found"}, status=404)


async def _health(service: Service, http: web.Request) -> web.Response:
    return web.Response(status=503 if service.engine.dead else 200)


async def _version(service: Service, http: web.Request) -> web.Response:
    return answer({"version": VERSION})


async def _load(service: Service, http: web.Request) -> web.Response:
    return answer({"server_load": service.engine.unfinished})


async def _metrics(service: Service, http: web.Request) -> web.Response:
    return web.Response(
        body=service.engine.render_metrics().encode(),
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )


async def _models(service: Service, http: web.Request) -> web.Response:
    config = service.config
    wrong = config.behaviour.fails("wrongModel")
    names = config.names
    if wrong is not None and wrong.get("where") in ("models", "both"):
        names = (str(wrong.get("name")),)
    cards = [_card(service, name, config.root) for name in names]
    cards += [
        {**_card(service, name, path), "parent": config.names[0], "max_model_len": None}
        for name, path in config.adapters.items()
    ]
    return answer({"object": "list", "data": cards})


def _card(service: Service, name: str, root: str) -> dict[str, object]:
    return {
        "id": name,
        "object": "model",
        "created": service.created,
        "owned_by": "vllm",
        "root": root,
        "parent": None,
        "max_model_len": service.config.max_model_len,
        "permission": [
            {
                "id": f"modelperm-{random_id()}",
                "object": "model_permission",
                "created": service.created,
                "allow_create_engine": False,
                "allow_sampling": True,
                "allow_logprobs": True,
                "allow_search_indices": False,
                "allow_view": True,
                "allow_fine_tuning": False,
                "organization": "*",
                "group": None,
                "is_blocking": False,
            }
        ],
    }


async def _tokenize(service: Service, http: web.Request) -> web.Response:
    request = parse(TokenizeRequest, await read_body(http))
    check_model(service, request.model)
    if request.messages is not None:
        generation = request.add_generation_prompt
        ids = render(
            service.config,
            request.messages,
            generation=generation,
            template=request.chat_template is not None,
            continue_last=request.continue_final_message,
        ).ids
    else:
        ids = tokenizer.encode(request.prompt or "", bos=request.add_special_tokens is not False)
    names = [tokenizer.decode((token,)) for token in ids] if request.return_token_strs else None
    return answer(
        {
            "count": len(ids),
            "max_model_len": service.config.max_model_len,
            "tokens": ids,
            "token_strs": names,
        }
    )


async def _detokenize(service: Service, http: web.Request) -> web.Response:
    request = parse(DetokenizeRequest, await read_body(http))
    check_model(service, request.model)
    return answer({"prompt": tokenizer.decode(request.tokens)})
