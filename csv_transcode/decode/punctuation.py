r"""Whether a text is ASCII but for signs that Windows programs write: dashes, curly quotes, fixed spaces, ™ and such.

``First\x96Citizens`` is ``First–Citizens`` in every encoding of Windows, and in no other that Python has is it a word:
``FirstûCitizens`` in cp850, ``FirstñCitizens`` in mac-roman, ``FirstЦCitizens`` in cp866. That is what is asked: every
sign stands where such a sign stands, and every other encoding makes an impossible word of at least one.
"""

# ruff: noqa: RUF001, RUF002, RUF003 - they are signs and the letters of other alphabets
from __future__ import annotations

import codecs
import encodings.aliases
import re
import unicodedata
from functools import cache
from typing import Final

from csv_transcode.charsets import canonical_name

WINDOWS: Final = "cp1252"
_EVIDENCE_BYTES_MAX: Final = 64 * 1024
_POSSESSIVES_LEAST: Final = 3  # different words in ’s, which mac-roman has in país and París

_IN_PLACE: Final = re.compile(
    r"[\N{NO-BREAK SPACE}…]"
    r"|(?<![0-9A-Za-z])[–—](?![0-9A-Za-z])|(?<=[0-9A-Za-z])[–—](?=[0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])[‘“](?=[0-9A-Za-z])|(?<=[!-~…])”(?![0-9A-Za-z])|(?<=[!-~…])’"
    r"|(?<![0-9A-Za-z])•(?=\s)|[™©®](?![A-Za-z])|(?<=[0-9])°"
)
_POSSESSIVE: Final = re.compile(r"(?<![A-Za-z])[A-Za-z]{2,}+’s(?![A-Za-z])")
# A, a, 0: ASCII; l, L: Latin letters that are no word by themselves, and hardly the end of one; w: those that can be;
# o: other letters; j: ideographs; #: frames; $: signs that stand before no word; s: others, but for dashes,
# quotes and dots.
# A small letter between capitals is none of them: MS-DOS lacks most capitals, and people wrote AOûT.
_IMPOSSIBLE: Final = re.compile(
    "alA|(?<![aAlLwo])[lw]Aa|aL|[aA]o|o[aA]|0[lLw]0|[aA0][s$][aA0]|[$][aA]|[aA]j[aA]|#|[aA] [lo] [aA]"
)
_WORDS_OF_ONE: Final = frozenset("àáâãäåæèéêëìíîïòóôõöøœüý")
_FRAMES: Final = range(0x2500, 0x2600)
_FIRST_CJK: Final = 0x2E80


def is_of_windows(sample: bytes) -> bool:
    """Return whether all that is not ASCII in ``sample``, a whole text, is punctuation of Windows, and nothing else."""
    try:
        text = sample.decode(WINDOWS)
    except UnicodeDecodeError:
        return False
    others = set(filter(lambda character: not character.isascii(), text))
    if len(_IN_PLACE.findall(text)) < sum(map(text.count, others)):
        return False
    evidence = b"\n".join(dict.fromkeys(line for line in sample.split(b"\n") if not line.isascii()))
    evidence = evidence[:_EVIDENCE_BYTES_MAX]
    signs = " ".join(sorted(others)).encode(WINDOWS)
    has_possessives = len(set(_POSSESSIVE.findall(text))) >= _POSSESSIVES_LEAST
    return not any(_may_be(name, evidence, signs, has_possessives=has_possessives) for name in _encodings())


def _may_be(name: str, evidence: bytes, signs: bytes, *, has_possessives: bool) -> bool:
    """Return whether the evidence may be another text in this encoding."""
    if _decoded(signs, name) == signs.decode(WINDOWS):
        return False
    text = _decoded(evidence, name)
    if text is None:
        return False
    kinds = "".join(map(_kind, text))
    if "!" in kinds or _IMPOSSIBLE.search(kinds):
        return False
    apostrophe = _decoded("’".encode(WINDOWS), name)
    is_letter = not apostrophe or apostrophe.isalpha()  # or the first half of one
    return not (has_possessives and is_letter)


def _decoded(data: bytes, name: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(name)().decode(data)  # a last character may be cut
    except UnicodeError:
        return None


@cache
def _encodings() -> tuple[str, ...]:
    """Return all of Python's encodings that have ASCII in its place."""
    ascii_bytes = bytes(range(0x20, 0x7F))
    names = {canonical_name(name) for name in encodings.aliases.aliases.values()}
    return tuple(sorted(name for name in names if name and _decoded(ascii_bytes, name) == ascii_bytes.decode()))


@cache
def _kind(character: str) -> str:  # noqa: PLR0911 - a table of cases
    if character.isascii():
        return "a" if character.islower() else "A" if character.isupper() else "0" if character.isdigit() else " "
    category = unicodedata.category(character)
    if category in {"Cc", "Cn", "Co", "Cs"}:
        return "!"
    if ord(character) in _FRAMES:
        return "#"
    if ord(character) >= _FIRST_CJK:
        return "j"
    if not character.isalpha():
        if category == "Sc" or character == "™":
            return "$"
        return " " if category in {"Zs", "Pd", "Pi", "Pf"} or character in "·…" else "s"
    if not unicodedata.name(character, "").startswith("LATIN"):
        return "o"
    return "L" if character.isupper() else "w" if character in _WORDS_OF_ONE else "l"
