"""Logging for the whole process: JSON lines for machines, columns for a terminal.

Promises one line for each event, its ids bound by context, and no secret in it: values under
telling names and passwords inside addresses are masked, tracebacks carry no local variables.
Libraries that use the standard module come out through the same door, as `library.log`.
"""

import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from typing import Any, BinaryIO, Literal

import msgspec
import structlog

from scheduler_svc.domain.events import EventName

Format = Literal["json", "console"]
Level = Literal["debug", "info", "warning", "error"]
_Fields = MutableMapping[str, Any]

_REQUEST: ContextVar[tuple[str, str | None] | None] = ContextVar("request", default=None)

MASK = "***"
# `idempotency_key`, `concurrency_key` and the like are names, not secrets; these words are secrets.
_SECRET_NAME = re.compile(
    r"password|passwd|secret|authorization|cookie|credential|bootstrap|signature|^dsn$"
    r"|(^|[_-])token$|api[_-]?key|private[_-]?key|secret[_-]?key",
    re.IGNORECASE,
)
_PASSWORD_IN_ADDRESS = re.compile(r"(?P<head>://[^\s:/@]*:)[^\s/@]+(?=@)")
_BEARER = re.compile(
    r"(?P<head>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}|\bsk_[A-Za-z0-9_-]{8,}"
)


def configure(*, style: Format, level: Level, stream: BinaryIO | None = None) -> None:
    """Set up structlog and the standard module alike; to be called once, before all else."""
    target = sys.stdout.buffer if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    render = _json if style == "json" else _Console(colors=_is_terminal(target))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            of_request,
            of_run,
            *_shared(),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    _catch_standard_logging(number)


def _shared() -> list[Callable[[Any, str, _Fields], Any]]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_secrets,
    ]


def of_run(_logger: Any, _method: str, fields: _Fields) -> _Fields:
    """Give a line about a run the id of the run's trace, which is the run's own."""
    if (run_id := fields.get("run_id")) is not None:
        fields["trace_id"] = str(run_id).replace("-", "")
    return fields


class naming:  # noqa: N801 - a block, as contextlib names its own
    """Gives every line within the block the ids of its request and of the request's trace."""

    __slots__ = ("_before", "_ids")

    def __init__(self, request_id: str, trace_id: str | None) -> None:
        self._ids = request_id, trace_id

    def __enter__(self) -> None:
        self._before = _REQUEST.set(self._ids)

    def __exit__(self, *_error: object) -> None:
        _REQUEST.reset(self._before)


def of_request(_logger: Any, _method: str, fields: _Fields) -> _Fields:
    """Give a line the ids of the request that it is logged in, where it is in one."""
    if (ids := _REQUEST.get()) is not None:
        fields.setdefault("request_id", ids[0])
        fields.setdefault("trace_id", ids[1])
    return fields


def mask_secrets(_logger: Any, _method: str, fields: _Fields) -> _Fields:
    """Replace what must not be read, at any depth of the values."""
    return {name: _masked(name, value) for name, value in fields.items()}


def masked_text(text: str) -> str:
    """Replace passwords in addresses and bearer values in free text."""
    if "://" in text:
        text = _PASSWORD_IN_ADDRESS.sub(rf"\g<head>{MASK}", text)
    return _BEARER.sub(lambda match: (match["head"] or "") + MASK, text)


def _masked(name: str, value: object) -> object:
    if value is not None and _SECRET_NAME.search(name):
        return MASK
    match value:
        case str():
            return masked_text(value)
        case dict():
            return {str(key): _masked(str(key), inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked("", inner) for inner in value]
        case BaseException():
            return masked_text(f"{type(value).__name__}: {value}")
        case _:
            return value


def _json(_logger: Any, _method: str, fields: _Fields) -> bytes:
    """Write time, level and event first, for eyes that read along."""
    ordered = {name: fields.pop(name, None) for name in ("timestamp", "level", "event")}
    return msgspec.json.encode(ordered | dict(fields), enc_hook=str)


class _Console:
    """The same fields in columns; bytes, as the JSON renderer gives."""

    def __init__(self, *, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(
            colors=colors,
            pad_event_to=20,
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,
        )

    def __call__(self, logger: Any, method: str, fields: _Fields) -> bytes:
        return self._render(logger, method, fields).encode("utf-8", "backslashreplace")


def _is_terminal(target: BinaryIO) -> bool:
    return target.isatty()


class _Forward(logging.Handler):
    """Hands the records of libraries to structlog, as one event of the closed list."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger().log(
                record.levelno,
                str(EventName.LIBRARY_LOG),
                logger=record.name,
                message=record.getMessage(),
                exc_info=record.exc_info,
            )
        except Exception:  # noqa: BLE001 - the standard module's own rule: logging never raises
            self.handleError(record)


def _catch_standard_logging(level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    # Each request is an event of ours (api.request), and start and stop are too.
    logging.getLogger("uvicorn.access").setLevel(max(level, logging.WARNING))
    logging.getLogger("uvicorn.error").setLevel(max(level, logging.WARNING))
