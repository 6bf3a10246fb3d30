"""The built-in error page: text, HTML or RFC 9457 problem+json, whichever the client's Accept prefers.

It says the status, one sentence and the request's id, never an upstream's address or a traceback. Everything echoed is
escaped; the HTML needs nothing from elsewhere.
"""

from __future__ import annotations

import json
from html import escape
from http import HTTPStatus
from typing import Final

from twistproxy.errors import ErrorKind
from twistproxy.messages import Headers, Response

_TYPES: Final = ("text/plain", "text/html", "application/problem+json")
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{status} {phrase}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 15vh auto; max-width: 34rem; padding: 0 1.5rem }}
h1 {{ font-size: 1.4rem; margin: 0 0 .5rem }}
small {{ opacity: .6 }}
</style></head>
<body><h1>{status} {phrase}</h1><p>{sentence}</p><p><small>Request {requestId}</small></p></body></html>
"""


def statusPhrase(code: int) -> bytes:
    """The usual reason phrase of a status; empty for one that has none."""
    try:
        return HTTPStatus(code).phrase.encode("ascii")
    except ValueError:
        return b""


def preferredType(accept: str) -> str:
    """Which of our three content types an Accept header prefers (RFC 9110 section 12.5.1); text without one."""
    best, chosen = 0.0, _TYPES[0]
    for mediaRange in accept.lower().split(","):
        name, *parameters = (part.strip() for part in mediaRange.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if name in ("application/json", "application/*"):
            name = "application/problem+json"
        if name in ("application/xhtml+xml", "text/*"):
            name = "text/html" if name != "text/*" else "text/plain"
        if name in _TYPES and quality > best:
            best, chosen = quality, name
    return chosen


def errorPage(kind: ErrorKind, accept: str, requestId: str) -> Response:
    """The answer to a failed exchange.

    @param accept: the request's Accept header; empty without one.
    @param requestId: shown, so that a person can be helped from the log.
    """
    contentType = preferredType(accept)
    phrase = statusPhrase(kind.status).decode("ascii") or "Error"
    if contentType == "text/html":
        text = _PAGE.format(
            status=kind.status, phrase=escape(phrase), sentence=escape(kind.sentence), requestId=escape(requestId)
        )
        contentType = "text/html; charset=utf-8"
    elif contentType == "application/problem+json":
        text = problem(kind, requestId)
    else:
        text = f"{kind.status} {phrase}\n{kind.sentence}\nRequest {requestId}\n"
        contentType = "text/plain; charset=utf-8"
    return Response(kind.status, errorHeaders(kind.status, contentType), text.encode("utf-8"))


def problem(kind: ErrorKind, requestId: str) -> str:
    """RFC 9457 problem+json."""
    phrase = statusPhrase(kind.status).decode("ascii") or "Error"
    members = {
        "type": "about:blank", "title": phrase, "status": kind.status, "detail": kind.sentence,
        "reason": kind.reason, "requestId": requestId,
    }  # fmt: skip
    return json.dumps(members) + "\n"


def errorHeaders(status: int, contentType: str = "") -> Headers:
    """The headers of an error page, with those that its status asks for (RFC 9110 sections 15.5.6 and 15.6.4)."""
    headers = Headers({"Content-Type": contentType} if contentType else ())
    headers.addRawHeader("Cache-Control", "no-store")
    if status == 503:
        headers.addRawHeader("Retry-After", "1")
    if status == 405:
        headers.addRawHeader("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
    return headers
