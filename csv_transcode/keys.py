"""Source key → output keys: which keys are sources, and where everything made from one goes (contract section 3)."""

from __future__ import annotations

import re
from functools import cache, cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMATS: Final = ("parquet", "avro")
KEY_BYTES_MAX: Final = 1024  # S3's own limit, in UTF-8

SIDECARS: Final = MappingProxyType(
    {"manifest": ("_manifests/", ".json"), "rejects": ("_rejects/", ".jsonl"), "failed": ("_failed/", ".json")}
)
SOURCE_SUFFIXES: Final = (".csv", ".tsv", ".psv", ".txt")
COMPRESSION_SUFFIXES: Final = (".gz", ".bz2", ".xz", ".zst")
_PLACEHOLDER: Final = re.compile(r"\{(output_prefix|stem|format)\}")


class MappedKeys(Struct, frozen=True):
    """Everything that can stand in the output bucket for one source; ``outputs`` has an entry for every format."""

    relative: str
    stem: str
    outputs: Mapping[str, str]
    manifest: str
    rejects: str
    failed: str

    def __iter__(self) -> Iterator[str]:
        """Yield every key in the output bucket that belongs to this source."""
        yield from self.outputs.values()
        yield from (self.manifest, self.rejects, self.failed)


class KeyTemplate(Struct, frozen=True):
    """KEY_TEMPLATE, cut at ``{stem}``; no text of a key or a prefix is ever taken for a placeholder."""

    head_text: str
    tail_text: str

    @classmethod
    def parse(cls, text: str) -> KeyTemplate:
        """Return the template that ``text`` is; ValueError says what a template must look like."""
        literal = _PLACEHOLDER.sub("", text)
        known = "{" not in literal and "}" not in literal
        # A second {stem} would still be injective, but no reader could find the boundary again.
        if not known or text.count("{stem}") != 1 or "{format}" not in text or text.endswith("/"):
            message = "must hold {stem} once, {format}, no placeholder but these and {output_prefix}, and not end in /"
            raise ValueError(message)
        head, _, tail = text.partition("{stem}")
        return cls(head, tail)

    def head(self, output_prefix: str, format_name: str) -> str:
        """Return what every key of this format begins with."""
        return _filled(self.head_text, output_prefix, format_name)

    def tail(self, output_prefix: str, format_name: str) -> str:
        """Return what every key of this format ends with."""
        return _filled(self.tail_text, output_prefix, format_name)


class KeyMap(Struct, frozen=True, dict=True):
    """The injective map from source keys to the keys of their outputs, and what is a source at all."""

    prefix: str
    output_prefix: str
    key_template: str
    input_bucket: str
    output_bucket: str
    source_suffixes: tuple[str, ...] = SOURCE_SUFFIXES

    def skip_reason(self, key: str, *, listed: bool = True) -> str | None:
        """Return why ``key`` is not converted, or None where it is a source.

        ``listed`` is False for keys that a person named one by one: these need no source suffix.
        """
        if self._is_own_output(key):
            return "an output of this function"
        if not key.startswith(self.prefix):
            return f"outside the prefix {self.prefix!r}"
        if key.endswith("/"):
            return "a folder marker (ends in /)"
        if listed and not is_source_name(key, self.source_suffixes):
            return "its suffix is not one of a CSV source"
        if any(len(mapped.encode()) > KEY_BYTES_MAX for mapped in self.map(key)):
            return f"too long to map: one of its output keys would exceed {KEY_BYTES_MAX} bytes"
        return None

    def map(self, key: str) -> MappedKeys:
        """Return the keys that stand for ``key`` in the output bucket; ValueError where it lies outside the prefix."""
        if not key.startswith(self.prefix):
            message = f"{key!r} lies outside the prefix {self.prefix!r}"
            raise ValueError(message)
        relative = key[len(self.prefix) :]
        stem = stem_of(relative, self.source_suffixes)
        outputs = {name: head + stem + tail for name, (head, tail) in self._ends.items()}
        sidecars = {
            name: f"{self.output_prefix}{folder}{relative}{suffix}" for name, (folder, suffix) in SIDECARS.items()
        }
        return MappedKeys(relative, stem, MappingProxyType(outputs), **sidecars)

    def _is_own_output(self, key: str) -> bool:
        if self.input_bucket != self.output_bucket:
            return False
        return key.startswith((self.output_prefix, *(head for head, _ in self._ends.values())))

    @cached_property
    def _ends(self) -> dict[str, tuple[str, str]]:
        """What each format's keys begin and end with; once per map, for listings are long."""
        template = KeyTemplate.parse(self.key_template)
        prefix = self.output_prefix
        return {name: (template.head(prefix, name), template.tail(prefix, name)) for name in FORMATS}


def is_source_name(key: str, suffixes: tuple[str, ...] = SOURCE_SUFFIXES) -> bool:
    """Say whether ``key`` ends in one of ``suffixes``, compressed or not, in any case."""
    return _pattern(suffixes).search(key) is not None


def stem_of(relative: str, suffixes: tuple[str, ...] = SOURCE_SUFFIXES) -> str:
    """Return what stands for ``relative`` in output keys; no two keys share a stem.

    ``a.csv`` gives ``a``, every other source name stays as it is. A key without a source suffix, which only a direct
    event can name, gains ``.csv``: plain ``a`` would otherwise share its outputs with ``a.csv``, and no source name has
    a stem of that form. The usual suffixes count whether or not ``suffixes`` names them: to list fewer objects must not
    move the outputs of those that stand converted.
    """
    known = SOURCE_SUFFIXES + tuple(suffix for suffix in suffixes if suffix not in SOURCE_SUFFIXES)
    if not is_source_name(relative, known):
        return relative + ".csv"
    left = relative.removesuffix(".csv")
    return relative if is_source_name(left, known) else left


@cache
def _pattern(suffixes: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds one of ``suffixes`` at a key's end; one that says its compression takes no other."""
    compression = "|".join(map(re.escape, COMPRESSION_SUFFIXES))
    whole = [re.escape(suffix) for suffix in suffixes if suffix.endswith(COMPRESSION_SUFFIXES)]
    plain = [re.escape(suffix) for suffix in suffixes if not suffix.endswith(COMPRESSION_SUFFIXES)]
    ways = [*whole, *(f"{suffix}(?:{compression})?" for suffix in plain)]
    return re.compile(f"(?:{'|'.join(ways)})\\Z", re.IGNORECASE | re.ASCII)


def collision(template: KeyTemplate, output_prefix: str) -> str | None:
    """Name the folder where an output could take the key of a manifest, a rejects or a failure record; None if none."""
    for name in FORMATS:
        head, tail = template.head(output_prefix, name), template.tail(output_prefix, name)
        for folder, suffix in SIDECARS.values():
            if overlap(head, output_prefix + folder) and (tail.endswith(suffix) or suffix.endswith(tail)):
                return output_prefix + folder
    return None


def overlap(one: str, other: str) -> bool:
    """Say whether some key begins with both prefixes."""
    return one.startswith(other) or other.startswith(one)


def _filled(text: str, output_prefix: str, format_name: str) -> str:
    values = {"output_prefix": output_prefix, "format": format_name}
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)
