"""A Lambda function that does nothing: what interpreter, runtime client and emulator take by themselves."""

from __future__ import annotations


def handler(_: object, __: object) -> dict[str, dict[str, int]]:
    """Answer as if one object had been converted."""
    return {"files": {"converted": 1}}
