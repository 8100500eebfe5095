"""The product's own S3 client over a transport that is given, on a simulated clock, and quicker than otherwise.

Replaced are the HTTP session, and what the SDK takes from the machine: sleep and chance. Left out is what no answer
depends on: signatures (the server does not verify them), and the SDK's introduction of itself. Remembered is what is
the same every time: a bucket's address, a moment's meaning. Requests are built, repeated and parsed as always.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import botocore.awsrequest
import botocore.endpoint
import botocore.hooks
import botocore.parsers
import botocore.signers
import botocore.useragent
from botocore.regions import EndpointRulesetResolver

from csv_transcode.s3.client import make_client
from csv_transcode.s3.retries import BUDGET, repeat_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

    from csv_transcode.runtime import Runtime

NOBODY: Final = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_moment = functools.cache(botocore.parsers.DEFAULT_TIMESTAMP_PARSER)
_alias = functools.cache(botocore.hooks.EventAliaser(None)._alias_event_name)
_addresses: dict[tuple[int, str, str], Any] = {}  # resolvers are those of the clients kept, and live as long
_clients: dict[tuple[Any, ...], Any] = {}


class Machine:
    """What the SDK takes for ``time``."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self.sleep = sleep


@contextmanager
def simulated_sdk(machine: Machine) -> Iterator[None]:
    """Let every client made or asked here sleep by ``machine``."""
    resolve = EndpointRulesetResolver.construct_endpoint

    def construct(resolver: Any, operation_model: Any, call_args: Any, request_context: Any) -> Any:
        name = (id(resolver), operation_model.name, (call_args or {}).get("Bucket", ""))
        if name not in _addresses:
            _addresses[name] = resolve(resolver, operation_model, call_args, request_context)
        return _addresses[name]

    with (
        mock.patch.object(botocore.hooks.EventAliaser, "_alias_event_name", lambda _, name: _alias(name)),
        mock.patch.object(botocore.parsers, "DEFAULT_TIMESTAMP_PARSER", _moment),
        mock.patch.object(botocore.awsrequest, "HeadersDict", Headers),
        mock.patch.object(botocore.endpoint, "time", machine),
        mock.patch.object(botocore.endpoint.uuid, "uuid4", _introduced),
        mock.patch.object(botocore.signers.RequestSigner, "sign", _unsigned),
        mock.patch.object(botocore.useragent.UserAgentString, "to_string", _introduced),
        mock.patch.object(EndpointRulesetResolver, "construct_endpoint", construct),
    ):
        yield


def _introduced(*_: object) -> str:  # a mock would keep each of its calls
    return "simulated"


def _unsigned(*_: object, **__: object) -> None:
    """Leave a request as it is."""


class Headers(MutableMapping[str, Any]):
    """What the SDK's own dictionary of headers is, without an object a look-up."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._items: dict[str, tuple[str, Any]] = {}
        self.update(*args, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        self._items[name.lower()] = (name, value)

    def __getitem__(self, name: str) -> Any:
        return self._items[name.lower()][1]

    def __delitem__(self, name: str) -> None:
        del self._items[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._items

    def get(self, name: str, default: Any = None) -> Any:
        return self._items.get(name.lower(), (name, default))[1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def copy(self) -> Headers:
        return Headers(self.items())


def client_over(transport: Any, runtime: Runtime, **limits: Any) -> S3Client:
    """Return the client that the product makes under these limits, with its requests going to ``transport``.

    Made once a process for any limits, and copied: what a client remembers of its requests (the retry budget, handlers
    hung into it) is each copy's own.
    """
    name = tuple(sorted(limits.items()))
    if name not in _clients:
        with mock.patch.dict("os.environ", NOBODY):
            _clients[name] = make_client(**limits)
    client: S3Client = _copied(_clients[name], transport)
    repeat_by(client, runtime, attempts_max=limits["retries_max"] + 1, budget=limits.get("retry_budget", BUDGET))
    return client


def _copied(made: Any, transport: Any) -> Any:
    client = object.__new__(type(made))
    client.__dict__.update(made.__dict__)
    events = copy.copy(made.meta.events)
    client.meta = copy.copy(made.meta)
    client.meta.events = events
    client._endpoint = copy.copy(made._endpoint)
    client._endpoint._event_emitter = events
    client._endpoint.http_session = transport
    return client
