"""Calls a Shortlist server: numpy arrays in, numpy arrays out.

    Client / AsyncClient → request (messages) → pool of channels → reply (arrays), or one of the errors

Needs grpcio, numpy and protobuf, nothing else.
"""

from shortlist.client.aio import AsyncClient
from shortlist.client.answer import Answer, SourceReport
from shortlist.client.errors import (
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    NotServedError,
    OverloadedError,
    ServerFaultError,
    ShortlistError,
    UnavailableError,
)
from shortlist.client.request import Filters, History
from shortlist.client.sync import Client

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "DeadlineError",
    "Filters",
    "History",
    "InvalidRequestError",
    "NotFoundError",
    "NotServedError",
    "OverloadedError",
    "ServerFaultError",
    "ShortlistError",
    "SourceReport",
    "UnavailableError",
]
