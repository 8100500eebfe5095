"""Which of two readings of the same words, both in Latin letters, is a language: by its alphabet, and by its vowels.

*Alphabet.* A table is in one language, or in those of one country, mostly. ``Núñez`` has letters of Spanish, ``Núńez``
those of no language: Polish has no ú, Czech no ń. *Vowels.* ``Søren`` read as ``Sřren`` has a consonant where, between
consonants, a vowel has to be.
"""

# ruff: noqa: RUF001 - they are the letters of other alphabets
from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

_LETTERS: Final = {
    "Azerbaijani": "çəğıöşüi\u0307",
    "Catalan": "àçèéíïòóúü",
    "Croatian": "čćđšž",
    "Czech": "áčďéěíňóřšťúůýž",
    "Danish": "æøåéäöü",
    "Dutch": "éëïöüèáóêí",
    "Estonian": "äõöüšž",
    "Finnish": "äöåšžé",
    "French": "àâæçèéêëîïôùûüÿœ",
    "German": "äöüßé",
    "Hungarian": "áéíóöőúüű",
    "Icelandic": "áðéíóúýþæö",
    "Irish": "áéíóú",
    "Italian": "àèéìíîòóùú",
    "Latvian": "āčēģīķļņšūž",
    "Lithuanian": "ąčęėįšųūž",
    "Norwegian": "æøåéòôäöü",
    "Polish": "ąćęłńóśźż",
    "Portuguese": "áàâãçéêíóôõúü",
    "Romanian": "ăâîşţșțé",
    "Slovak": "áäčďéíĺľňóôŕšťúýžö",
    "Spanish": "áéíóúüñ",
    "Swedish": "åäöéü",
    "Turkish": "çğıiöşüâîû\u0307",
    "Albanian": "çë",
}
# A country's languages together. Those of Central Europe fit too much of the West, read wrongly, to be worth it.
_TOGETHER: Final = (("Spanish", "Catalan"), ("German", "French", "Italian"))
ALPHABETS: Final = (
    *map(frozenset, _LETTERS.values()),
    *(frozenset().union(*(_LETTERS[language] for language in languages)) for languages in _TOGETHER),
)
_VOWELS: Final = frozenset("aeiouyæœøı")


class Comparison(Struct, frozen=True):
    """What speaks for the first of two readings, on ``words`` different words in which they differ.

    ``outside`` is the count of words, as a share of these, that are not in the alphabet which holds most of the first
    reading, ``fit`` how much larger it is for the second. ``for_it`` and ``against_it`` count words in which the
    readings have a vowel and a consonant in one place, and its surroundings ask for the first's or the second's.
    """

    words: int
    outside: float
    fit: float
    for_it: int
    against_it: int


def compare(first: Sequence[str], second: Sequence[str], malformed: tuple[set[str], set[str]]) -> Comparison:
    """Return what tells two readings apart; they hold the same words, in the same order, ``malformed`` some of each."""
    pairs = [(one, other) for one, other in zip(first, second, strict=True) if one != other]
    outside = _outside(first, malformed[0])
    fit = _outside(second, malformed[1]) - outside
    vowels = Counter(_vowel_is_right(one, other) for one, other in pairs)
    words = max(1, len(pairs))
    return Comparison(len(pairs), outside / words, fit / words, vowels[True], vowels[False])


def _outside(words: Sequence[str], malformed: set[str]) -> int:
    """Return how many of ``words`` are malformed or not in the one alphabet that holds most of them."""
    letters = Counter(_foreign(word) for word in words if word not in malformed)
    bad = sum(word in malformed for word in words)
    return bad + min(sum(count for some, count in letters.items() if not some <= alphabet) for alphabet in ALPHABETS)


def _foreign(word: str) -> frozenset[str]:
    return frozenset(letter for letter in word.lower() if not letter.isascii() and letter.isalpha())


def _vowel_is_right(one: str, other: str) -> bool | None:
    """Return whether ``one`` has vowels and consonants where the letters around them ask for such, and ``other`` not.

    A vowel is asked for where none stands beside it, a consonant between two. None where the words do not differ in
    that, or nothing is asked for, as in ``Année``.
    """
    right: bool | None = None
    for at, (letter, instead) in enumerate(zip(one, other, strict=False)):
        if letter.isalpha() and instead.isalpha() and _is_vowel(letter) != _is_vowel(instead):
            vowels = sum(map(_is_vowel, one[max(0, at - 1) : at] + one[at + 1 : at + 2]))
            if vowels == _is_vowel(letter) * 2:
                return False
            if vowels != 1:
                right = True
    return right


@cache
def _is_vowel(letter: str) -> bool:
    return unicodedata.normalize("NFD", letter.lower())[0] in _VOWELS
