"""moto, S3 alone, without what it does again for every request; and a look at what it holds.

Half of the tests' time was spent between the client and moto, and most of that on what is the same every time.
"""

from __future__ import annotations

import functools
import re
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import botocore.auth
import botocore.client
import botocore.hooks
import botocore.loaders
import botocore.parsers
import botocore.regions
import botocore.session
import botocore.useragent
import moto.core.responses
import pytest
from moto import backend_index
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import S3Backend, s3_backends
from moto.s3.responses import S3Response

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_s3 import S3Client

PARTITION: Final = "aws"


@contextmanager
def quick() -> Iterator[None]:
    """Remember what clients and moto would find out anew: no answer changes, each costs half as much."""
    with pytest.MonkeyPatch.context() as patch:
        _remember_models(patch)
        _remember_methods(patch)
        _remember_handlers(patch)
        _remember_endpoints(patch)
        _remember_names(patch)
        _spare_signatures(patch)
        _remember_routes(patch)
        _spare_chance(patch)
        yield


def _remember_models(patch: pytest.MonkeyPatch) -> None:
    """Share what every client reads from the SDK's own files: 15 ms of processor time for a client instead of 100."""
    loader = botocore.loaders.create_loader()
    patch.setattr(botocore.session, "create_loader", lambda *_: loader)


def _remember_methods(patch: pytest.MonkeyPatch) -> None:
    """Share the hundred methods that are made of a service's model: each client's class gets the same ones."""
    made: dict[tuple[str, str], dict[str, Any]] = {}
    make = botocore.client.ClientCreator._create_methods

    def methods(creator: Any, model: Any) -> dict[str, Any]:
        known_as = (model.service_name, model.api_version)
        if known_as not in made:
            made[known_as] = make(creator, model)
        return dict(made[known_as])

    patch.setattr(botocore.client.ClientCreator, "_create_methods", methods)


def _remember_handlers(patch: pytest.MonkeyPatch) -> None:
    """Look once at what a function takes: every client registers the same 140 handlers."""
    takes = functools.cache(botocore.hooks.accepts_kwargs)
    patch.setattr(botocore.hooks, "accepts_kwargs", lambda handler: takes(getattr(handler, "__func__", handler)))


def _remember_endpoints(patch: pytest.MonkeyPatch) -> None:
    """Share what is made of the rules by which a region's address is found; the loader gives them once."""
    made: dict[tuple[int, ...], tuple[Any, dict[str, Any]]] = {}
    make = botocore.regions.EndpointProvider

    def provider(**rules: Any) -> Any:
        known_as = tuple(map(id, rules.values()))
        if known_as not in made:  # kept with its rules, so that nobody else gets their identities
            made[known_as] = make(**rules), rules
        return made[known_as][0]

    patch.setattr(botocore.regions, "EndpointProvider", provider)


def _spare_signatures(patch: pytest.MonkeyPatch) -> None:
    """Sign for servers that look; moto reads the name and region beside a signature, and never verifies one."""
    canonical, sign = botocore.auth.SigV4Auth.canonical_request, botocore.auth.SigV4Auth.signature

    def canonical_request(signer: Any, request: Any) -> Any:
        return "" if looks_away(request) else canonical(signer, request)

    def signature(signer: Any, text: str, request: Any) -> Any:
        return "none" if looks_away(request) else sign(signer, text, request)

    def looks_away(request: Any) -> bool:
        host: str = urlsplit(request.url).netloc
        return host.endswith(".amazonaws.com")

    patch.setattr(botocore.auth.SigV4Auth, "canonical_request", canonical_request)
    patch.setattr(botocore.auth.SigV4Auth, "signature", signature)


def _remember_names(patch: pytest.MonkeyPatch) -> None:
    """Keep the results of functions of texts alone, which the SDK calls some dozens of times a request."""
    alias = functools.cache(botocore.hooks.EventAliaser(None)._alias_event_name)
    patch.setattr(botocore.hooks.EventAliaser, "_alias_event_name", lambda _, name: alias(name))
    clean = functools.cache(botocore.useragent.sanitize_user_agent_string_component)
    patch.setattr(botocore.useragent, "sanitize_user_agent_string_component", clean)
    moment = functools.cache(botocore.parsers.DEFAULT_TIMESTAMP_PARSER)
    patch.setattr(botocore.parsers, "DEFAULT_TIMESTAMP_PARSER", moment)
    names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
    introduce = botocore.useragent.UserAgentString.to_string

    def introduced(agent: Any) -> str:
        if agent not in names:
            names[agent] = introduce(agent)
        return names[agent]

    patch.setattr(botocore.useragent.UserAgentString, "to_string", introduced)


def _spare_chance(patch: pytest.MonkeyPatch) -> None:
    """Count requests, instead of drawing 52 characters for the name of each, which nobody reads."""
    numbers = count(1)
    patch.setattr(moto.core.responses, "gen_amzn_requestid_long", lambda headers: _named(headers, next(numbers)))


def _named(headers: dict[str, Any], number: int) -> str:
    headers["x-amzn-requestid"] = f"{number:052d}"
    return str(headers["x-amzn-requestid"])


def _remember_routes(patch: pytest.MonkeyPatch) -> None:
    """Make a list of S3's addresses once; moto loads a module twice for it, and looks through all other services."""
    routes = S3Backend("us-east-1", DEFAULT_ACCOUNT_ID).urls
    patch.setattr(S3Backend, "urls", {re.compile(address): answers for address, answers in routes.items()})
    patterns = [(service, pattern) for service, pattern in backend_index.backend_url_patterns if service == "s3"]
    patch.setattr(backend_index, "backend_url_patterns", patterns)
    ask = S3Response.subdomain_based_buckets
    answers: dict[str, bool] = {}

    def subdomain_based(request: Any) -> bool:
        """Look at the host's name once: at nothing else of a request that says it."""
        host = request.headers.get("host")
        if not host:
            return bool(ask(request))
        if host not in answers:
            answers[host] = ask(request)
        return answers[host]

    patch.setattr(S3Response, "subdomain_based_buckets", staticmethod(subdomain_based))


class Imitated:
    """The objects and uploads of moto's buckets, without a request for each."""

    @staticmethod
    def serves(client: S3Client) -> bool:
        """Return whether it is moto that answers the client, and no server."""
        return str(client.meta.endpoint_url).endswith(".amazonaws.com")

    @staticmethod
    def create(bucket: str) -> None:
        _backend().create_bucket(bucket, "us-east-1")

    @staticmethod
    def fill(bucket: str, bodies: Mapping[str, bytes]) -> None:
        """Make these the objects of a bucket, and leave no upload."""
        _empty(bucket)
        for key, body in bodies.items():
            _backend().put_object(bucket, key, body)

    @staticmethod
    def bodies(bucket: str) -> dict[str, bytes]:
        """Return every object of a bucket, in the order of a listing."""
        return {key: held.value for key, held in sorted(_held(bucket).items())}

    @staticmethod
    def etag(bucket: str, key: str) -> str:
        return str(_held(bucket)[key].etag)

    @staticmethod
    def uploads(bucket: str) -> list[str]:
        """Return the keys of the multipart uploads that have been neither completed nor aborted."""
        return [upload.key_name for upload in _backend().list_multipart_uploads(bucket).values()]


def _empty(bucket: str) -> None:
    for key in _held(bucket):
        _backend().delete_object(bucket, key)
    for number in list(_backend().list_multipart_uploads(bucket)):
        _backend().abort_multipart_upload(bucket, number)


def _backend() -> Any:
    return s3_backends[DEFAULT_ACCOUNT_ID][PARTITION]


def _held(bucket: str) -> dict[str, Any]:
    return dict(_backend().get_bucket(bucket).keys.items())
