"""The kinds of values a setting can have: how text becomes one, and which values are refused in what words (leaf).

Every kind has ``parse``, from a variable's text to a typed value, and ``refusal``, from a typed value to what is
allowed instead, or None. ``parse`` raises ValueError with what is allowed where the text is no such value at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from csv_transcode.charsets import canonical_name
from csv_transcode.keys import FORMATS, KEY_BYTES_MAX, KeyTemplate

if TYPE_CHECKING:
    from csv_transcode.schema import ColumnType

NO_CHARACTER: Final = "none"
NULL_VALUES_MAX: Final = 100
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_KMS_KEY: Final = re.compile(r"[A-Za-z0-9:/_-]{1,2048}")
_SUFFIX: Final = re.compile(r"\.[a-z0-9_-]{1,20}(\.(gz|bz2|xz|zst))?")
SUFFIXES_MAX: Final = 100
_BUCKET: Final = re.compile(r"[A-Za-z0-9._-]{3,255}")
_TRUE: Final = ("true", "1", "yes", "on")
_FALSE: Final = ("false", "0", "no", "off")
_ALIASES: Final = {"tab": "\t", "\\t": "\t"}


class Kind(Protocol):
    """What every kind can do."""

    def parse(self, text: str) -> Any:  # noqa: ANN401 - each kind has its own type
        """Return the typed value of a text that is not empty."""

    def refusal(self, value: object) -> str | None:
        """Return what is allowed instead of ``value``, or None where it is allowed."""


class _AsText:
    """Kinds whose values are the text itself."""

    def parse(self, text: str) -> str:
        return text


class BucketName(_AsText):
    """The plain name of a bucket."""

    def refusal(self, value: object) -> str | None:
        """Refuse what S3 would not take as a bucket's name, ARNs included: events name buckets, not ARNs."""
        if isinstance(value, str) and _BUCKET.fullmatch(value):
            return None
        return "required: the name of a bucket, 3 to 255 letters, digits, dots, hyphens or underscores"


class Prefix(_AsText):
    """What keys begin with, taken literally."""

    def refusal(self, value: object) -> str | None:
        """Refuse what no key can begin with."""
        if isinstance(value, str) and is_utf8(value) and len(value.encode()) < KEY_BYTES_MAX:
            return None
        return f"must be valid UTF-8 of fewer than {KEY_BYTES_MAX} bytes"


class AccountId(_AsText):
    """An AWS account; None where none is expected."""

    def refusal(self, value: object) -> str | None:
        """Refuse what is no account id; one that lost its leading zeros is none."""
        known = value is None or (isinstance(value, str) and _ACCOUNT.fullmatch(value))
        return None if known else "must be the 12 digits of an AWS account"


class KmsKeyId(_AsText):
    """A KMS key, however it is named; None for the bucket's own encryption."""

    def refusal(self, value: object) -> str | None:
        """Refuse what could name no key."""
        known = value is None or (isinstance(value, str) and _KMS_KEY.fullmatch(value))
        return None if known else "must be the id, the alias (alias/…) or the ARN of a KMS key"


class Template(_AsText):
    """KEY_TEMPLATE."""

    def refusal(self, value: object) -> str | None:
        """Refuse what ``KeyTemplate`` cannot parse."""
        if not isinstance(value, str) or not is_utf8(value) or len(value.encode()) >= KEY_BYTES_MAX:
            return f"must be valid UTF-8 of fewer than {KEY_BYTES_MAX} bytes"
        try:
            KeyTemplate.parse(value)
        except ValueError as problem:
            return str(problem)
        return None


class WholeNumber(Struct, frozen=True):
    """An integer from ``least`` to ``most``, both allowed; None where the setting can be left to the program."""

    least: int
    most: int
    can_be_none: bool = False

    def parse(self, text: str) -> int:
        """Take decimal digits only: ``int`` would also take ``1_000`` and other scripts' digits."""
        if not _DIGITS.fullmatch(text.strip()):
            raise ValueError(self._allowed)
        return int(text)

    def refusal(self, value: object) -> str | None:
        """Refuse what is no integer or out of bounds."""
        if value is None and self.can_be_none:
            return None
        is_whole = isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most
        return None if is_whole else self._allowed

    @property
    def _allowed(self) -> str:
        return f"must be a whole number from {self.least} to {self.most}"


class Number(Struct, frozen=True):
    """A number from ``least`` to ``most``, both allowed."""

    least: float
    most: float

    def parse(self, text: str) -> float:
        """Take what ``float`` takes; infinity and nan are then out of bounds."""
        try:
            return float(text)
        except ValueError:
            raise ValueError(self._allowed) from None

    def refusal(self, value: object) -> str | None:
        """Refuse what is no number or out of bounds."""
        # nan compares false with every bound
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and self.least <= value <= self.most
        return None if is_number else self._allowed

    @property
    def _allowed(self) -> str:
        return f"must be a number from {self.least:g} to {self.most:g}"


class Flag:
    """True or false."""

    def parse(self, text: str) -> bool:
        """Take the usual words, in any case."""
        word = text.strip().lower()
        if word not in _TRUE + _FALSE:
            message = f"must be one of {', '.join(_TRUE + _FALSE)}"
            raise ValueError(message)
        return word in _TRUE

    def refusal(self, value: object) -> str | None:
        """Refuse what is no bool."""
        return None if isinstance(value, bool) else "must be True or False"


class Choice(Struct, frozen=True):
    """One word of several."""

    options: tuple[str, ...]

    def parse(self, text: str) -> str:
        """Take the word in any case, and give it as the options spell it."""
        spelt = {option.lower(): option for option in self.options}
        return spelt.get(text.strip().lower(), text)

    def refusal(self, value: object) -> str | None:
        """Refuse any other word."""
        known = isinstance(value, str) and value in self.options
        return None if known else f"must be one of {', '.join(self.options)}"


class Suffixes:
    """What sources end in: extensions, perhaps with one of a compression behind them."""

    def parse(self, text: str) -> tuple[str, ...]:
        """Take them between commas, in any case; one that stands twice counts once."""
        suffixes = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",")))
        if refusal := self.refusal(suffixes):
            raise ValueError(refusal)
        return suffixes

    def refusal(self, value: object) -> str | None:
        """Refuse what no key is told by, and none at all."""
        if isinstance(value, tuple) and 0 < len(value) <= SUFFIXES_MAX and all(map(_is_suffix, value)):
            return None
        return "must be suffixes in small letters such as .csv,.dat or .csv.gz: a dot, then letters, digits, - or _"


class Formats:
    """Which outputs to write, without repetition, in the order of ``FORMATS`` whatever order they are given in."""

    def parse(self, text: str) -> tuple[str, ...]:
        """Take words between commas, in any case."""
        words = {word.strip().lower() for word in text.split(",")}
        return tuple(name for name in FORMATS if name in words) + tuple(sorted(words.difference(FORMATS)))

    def refusal(self, value: object) -> str | None:
        """Refuse other formats, and none at all."""
        ordered = isinstance(value, tuple) and value == tuple(name for name in FORMATS if name in value)
        return None if value and ordered else f"must be one or more of {', '.join(FORMATS)}, in this order"


class NullValues:
    """The texts that are null where they stand unquoted."""

    def parse(self, text: str) -> tuple[str, ...]:
        """Take a JSON array of strings."""
        values = _parsed_json(text, self._allowed)
        if not isinstance(values, list):
            raise ValueError(self._allowed)  # noqa: TRY004 - of a text, not of an argument
        return tuple(values)

    def refusal(self, value: object) -> str | None:
        """Refuse anything but a tuple of texts that can stand in a file."""
        if not isinstance(value, tuple) or len(value) > NULL_VALUES_MAX:
            return self._allowed
        return None if all(isinstance(text, str) and is_utf8(text) for text in value) else self._allowed

    _allowed = f'must be a JSON array of at most {NULL_VALUES_MAX} strings, such as ["", "NULL"]'


class ColumnTypes:
    """Column name → the type given to it."""

    def parse(self, text: str) -> Mapping[str, ColumnType]:
        """Take a JSON object of type names; a name given twice is refused."""
        # Imported here: it brings pyarrow, and few functions set COLUMN_TYPES.
        from csv_transcode.schema import ColumnType  # noqa: PLC0415

        words = _parsed_json(text, self._allowed)
        if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
            raise ValueError(self._allowed)
        types: dict[str, ColumnType] = {}
        for name, word in words.items():
            try:
                types[name] = ColumnType.parse(word)
            except ValueError as problem:
                message = f"column {name!r}: {problem}"
                raise ValueError(message) from None
        return types

    def refusal(self, value: object) -> str | None:
        """Refuse what the contract's words cannot say, such as nanoseconds for one column."""
        if not isinstance(value, Mapping):
            return self._allowed
        said = all(isinstance(name, str) and is_utf8(name) and _has_word(kind) for name, kind in value.items())
        return None if said else self._allowed

    _allowed = 'must be a JSON object of column types, such as {"id": "int64", "price": "decimal(18,2)"}'


class Character(Struct, frozen=True):
    """One ASCII character of the dialect; None where it is to be detected, and an empty text where there is none."""

    can_be_none: bool = False

    def parse(self, text: str) -> str:
        """Take the character, or a word: ``tab`` (or its escape), and ``none`` where there may be none."""
        if self.can_be_none and text.lower() == NO_CHARACTER:
            return ""
        return _ALIASES.get(text.lower(), text)

    def refusal(self, value: object) -> str | None:
        """Refuse what cannot be part of a dialect."""
        if value is None or (value == "" and self.can_be_none):
            return None
        if isinstance(value, str) and len(value) == 1 and value.isascii() and value not in "\r\n\0":
            return None
        return f"must be one ASCII character, not a line end or NUL{', or `none`' if self.can_be_none else ''}"


class Encoding:
    """The characters' encoding; None where it is to be detected."""

    def parse(self, text: str) -> str:
        """Take any of Python's spellings, and give its own."""
        found = canonical_name(text)
        if found is None:
            raise ValueError(self._allowed)
        return found

    def refusal(self, value: object) -> str | None:
        """Refuse what is no character encoding, or not its canonical name."""
        known = value is None or (isinstance(value, str) and canonical_name(value) == value)
        return None if known else self._allowed

    _allowed = "must be the name of a character encoding that Python knows, such as utf-8, cp1252 or utf-16-le"


def _is_suffix(word: object) -> bool:
    return isinstance(word, str) and _SUFFIX.fullmatch(word) is not None


def is_utf8(text: str) -> bool:
    """Say whether ``text`` has a UTF-8 form: lone surrogates have none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_word(kind: object) -> bool:
    from csv_transcode.schema import ColumnType  # noqa: PLC0415

    try:
        return ColumnType.parse(str(kind)) == kind
    except ValueError:
        return False


def _parsed_json(text: str, allowed: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise ValueError(allowed) from None


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        message = "a name stands twice"
        raise ValueError(message)
    return dict(pairs)
