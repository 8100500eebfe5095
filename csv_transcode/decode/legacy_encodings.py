"""Which of the encodings before Unicode a text is in, by three witnesses that know nothing of each other.

Nearly every one of them decodes nearly anything, so that a text decodes proves nothing. What is asked:

1. *Form.* Read in the wrong encoding, words take forms that no language has: letters of two alphabets, a capital behind
   a small letter, a sign between letters, a frame's corner. Candidates that give many of those are out.
2. *Language.* chardet's models of letter pairs rank what is left: on the lines that are not all ASCII, and again on
   the words alone, which the English around them would drown.
3. *Alphabet.* Between two readings in Latin letters: which of them has the letters of one language, and vowels where
   a word needs them (alphabets.py).

Candidates that give the same text are one. The best in language is taken only where it beats every other that is as
well formed: by a lead of LEAD_LEAST, or a smaller one and the alphabet, and never against the alphabet; on at least
WORDS_LEAST different words. Figures in docs/decisions/2026-11-23-encodings.md.
"""

from __future__ import annotations

import codecs
import itertools
import re
import unicodedata
from functools import cache
from hashlib import blake2b
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from csv_transcode.decode import alphabets

KIB: Final = 1024

# Of encodings that give the same text, the first is taken: the one that Windows programs write.
CANDIDATES: Final = (
    *("cp1252", "iso8859-15", "cp1250", "iso8859-2", "cp1251", "koi8-r", "koi8-u", "cp866", "iso8859-5"),
    *("mac-cyrillic", "cp1253", "iso8859-7", "cp1254", "cp1255", "cp1256", "iso8859-6", "cp1257", "iso8859-13"),
    *("cp1258", "cp874", "mac-roman", "cp850", "cp437", "cp852", "cp865", "mac-latin2"),
    *("cp932", "euc_jp", "cp949", "gb18030", "cp950"),
)
# chardet's names for what we know under a narrower or a wider one.
_SYNONYMS: Final = {"euc_jis_2004": "euc_jp", "shift_jis_2004": "cp932", "euc_kr": "cp949", "big5hkscs": "cp950"}

EVIDENCE_BYTES_MAX: Final = 64 * KIB
WORDS_LEAST: Final = 3
_LETTERS_LEAST: Final = 2  # of a word that counts
LEAD_LEAST: Final = 0.4
LINES_LEAD_LEAST: Final = 0.1  # of it, by the lines alone
WORDS_LEAST_FAR_AHEAD: Final = 2  # are enough in what is used most, where the lead is
FAR_AHEAD: Final = 0.8
FIT_LEAST: Final = 0.5  # of the words that differ, so many more in one alphabet: enough with
FITTING_LEAD_LEAST: Final = 0.1
VOWELS_LEAST: Final = 3  # words with a vowel where one has to be: enough by themselves, if none is against it
DIFFERING_LEAST: Final = 2  # words: all else must not hang on one
DIFFERING_LEAST_AGAINST_VOWELS: Final = 5  # words, and half of them without a say, where vowels are against it
OUTSIDE_MOST: Final = 0.3  # words outside of the best alphabet, as a share of those that differ
_MALFORMED_MOST: Final = 0.1  # share of words with an impossible form: a text may hold a few
_MALFORMED_LEAD: Final = 0.03  # by so much another candidate may be better formed than the best in language
_MALFORMED_RIVAL: Final = 0.05  # beyond this, form alone has decided
_CONFLICT: Final = 2.0  # language prefers what form has ruled out, by this factor: the witnesses contradict
_HANZI_LATE_LEAST: Final = 0.1  # see _is_doubtful_chinese

# Words, of which those that are ASCII say nothing. A pattern that asks for another letter inside takes quadratic time.
_BYTE_WORD: Final = re.compile(rb"['@-~\x80-\xff]++")  # from 0x40 on: second bytes, too
_WORD: Final = re.compile(r"[^\x00-@\[-`{-\x7f]++")
_SIGN_BETWEEN_LETTERS: Final = re.compile("[aAlgcrht]s+[aAlgcrht]")
_NEVER_FIRST: Final = frozenset("¶¢¤¬¯¨³²¹¼½¾ƒ†‡‰¦\N{CEDILLA}\N{MODIFIER LETTER CIRCUMFLEX ACCENT}\N{SMALL TILDE}")
_APOSTROPHES: Final = frozenset(  # and Catalan's point, and the soft hyphen
    "·\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{ACUTE ACCENT}\N{SOFT HYPHEN}"
)
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # ESC shifts in ISO 2022; VT and FF are spaces
_DOUBLE_BYTE: Final = re.compile(rb"[\xa1-\xfe][\xa1-\xfe]")
_BYTE_LETTERS: Final = re.compile(rb"['A-Za-z\x80-\xff]++")
_IDEOGRAPH_IN_WORD: Final = re.compile("[aA][jn][aA]")
_LATIN: Final = frozenset(
    (
        *("cp1252", "iso8859-15", "cp1250", "iso8859-2", "cp1254", "cp1257", "iso8859-13"),
        *("mac-roman", "cp850", "cp437", "cp852", "cp865", "mac-latin2"),
    )
)
_WITH_KANA: Final = frozenset({"cp932", "euc_jp"})
_FRAMES: Final = range(0x2500, 0x2600)
_FIRST_CJK: Final = 0x2E80


class Verdict(Struct, frozen=True):
    """The encoding that the evidence is for (None: for none), and else what it was, for people."""

    encoding: str | None
    reason: str


class _Reading(Struct, frozen=True):
    """One text that the sample can be, the first encoding that gives it, and what speaks for it."""

    encoding: str
    words: int
    malformed: float
    likelihood: float = 0.0
    by_lines: float = 0.0


def judge(sample: bytes, *, whole: bool) -> Verdict:
    """Return which of CANDIDATES ``sample``, which is not UTF-8, is in, where the evidence is enough."""
    evidence = _evidence(sample)
    if _CONTROL.search(evidence):
        return Verdict(None, "control characters in the lines that are not ASCII")
    readings = _ranked(_distinct(sample, [_read(evidence, name) for name in CANDIDATES], whole=whole), evidence)
    plausible = [reading for reading in readings if reading.malformed <= _MALFORMED_MOST]
    if not plausible:
        return Verdict(None, "no known encoding gives plausible words")
    best = plausible[0]
    rivals = [other for other in plausible[1:] if other.malformed <= best.malformed + _MALFORMED_RIVAL]
    lead = _lead(best.likelihood, max((other.likelihood for other in rivals), default=0))
    against = f", against {rivals[0].encoding}" if rivals else ""
    found = f"{best.encoding} leads by {lead:.2f}{against}, on {best.words} different words that are not ASCII"
    least_malformed = min(reading.malformed for reading in plausible)
    if readings[0].likelihood > _CONFLICT * best.likelihood or best.malformed > _MALFORMED_LEAD + least_malformed:
        return Verdict(None, f"{found}; but letter pairs and the forms of words contradict each other")
    doubt = _doubt(best, rivals, lead, evidence)
    return Verdict(None, f"{found}; {doubt}") if doubt else Verdict(best.encoding, found)


def _doubt(best: _Reading, rivals: list[_Reading], lead: float, evidence: bytes) -> str | None:
    """Return what the evidence for ``best`` lacks; None where it is enough."""
    is_far_ahead = best.encoding == CANDIDATES[0] and lead >= FAR_AHEAD
    words_least = WORDS_LEAST_FAR_AHEAD if is_far_ahead else WORDS_LEAST
    if not best.likelihood or best.words < words_least:
        return f"{words_least} are asked for"
    words = sorted({word for word in _BYTE_LETTERS.findall(evidence) if not word.isascii()})
    for rival in rivals:
        if not _beats(best, rival, words):
            return f"neither that nor its letters are enough against {rival.encoding}"
    if best.encoding == "gb18030" and _is_doubtful_chinese(evidence):
        return "but Chinese would use more of its characters"
    return None


def _evidence(sample: bytes) -> bytes:
    """Return the first lines that are not ASCII. LF is no part of another character in any of the candidates."""
    lines = []
    size = 0
    for line in sample.split(b"\n"):
        if not line.isascii():
            lines.append(line[: EVIDENCE_BYTES_MAX - size] if size + len(line) > EVIDENCE_BYTES_MAX else line)
            size += len(line)
            if size >= EVIDENCE_BYTES_MAX:
                break
    return b"\n".join(lines)


def _read(evidence: bytes, name: str) -> _Reading | None:
    """Return how well formed the evidence's words are, or None where it is not text in that encoding."""
    try:
        text = codecs.getincrementaldecoder(name)().decode(evidence)  # its last character may be cut
    except UnicodeDecodeError:
        return None
    words = {word for word in _WORD.findall(text) if not word.isascii()}
    if any(_kind(character) == "!" for character in set(text)):
        return None
    malformed = sum(_is_malformed(word, name) for word in words)
    telling = sum(sum(map(str.isalpha, word)) >= _LETTERS_LEAST for word in words)
    return _Reading(name, telling, malformed / max(1, len(words)))


def _distinct(sample: bytes, readings: list[_Reading | None], *, whole: bool) -> list[list[_Reading]]:
    """Return the readings that decode all of ``sample``, those of the same text together."""
    texts: dict[bytes, list[_Reading]] = {}
    for reading in filter(None, readings):
        try:
            text = codecs.getincrementaldecoder(reading.encoding)().decode(sample, whole)
        except UnicodeDecodeError:
            continue
        texts.setdefault(blake2b(text.encode()).digest(), []).append(reading)
    return list(texts.values())


def _ranked(alike: list[list[_Reading]], evidence: bytes) -> list[_Reading]:
    """Return one reading for each text, the likeliest language first.

    The words alone miss the language's plain words; the lines alone drown a few foreign names in English. The product
    with the lines squared is what was wrong least often (docs/decisions/2026-11-23-encodings.md).
    """
    of_lines = _guesses(evidence)
    words = dict.fromkeys(word for word in _BYTE_WORD.findall(evidence) if not word.isascii())
    of_words = _guesses(b"\n".join(words))
    readings = []
    for same in alike:
        by_lines = max(of_lines.get(reading.encoding, 0) for reading in same)
        by_words = max(of_words.get(reading.encoding, 0) for reading in same)
        readings.append(replace(same[0], likelihood=by_lines**2 * by_words, by_lines=by_lines))
    return sorted(readings, key=lambda reading: -reading.likelihood)


def _lead(best: float, other: float) -> float:
    """Return by which share of itself the best leads the other."""
    return 1 - other / best if best else 0


def _beats(best: _Reading, rival: _Reading, words: list[bytes]) -> bool:
    """Return whether the evidence for ``best`` is enough against this rival, which is less likely."""
    lead = _lead(best.likelihood, rival.likelihood)
    is_clear = lead >= LEAD_LEAST and _lead(best.by_lines, rival.by_lines) >= LINES_LEAD_LEAST
    if not {best.encoding, rival.encoding} <= _LATIN:
        return is_clear
    found = _compared(words, best.encoding, rival.encoding)
    is_against = found.against_it > found.for_it
    if found.words < DIFFERING_LEAST or found.fit < 0:
        return False
    if is_against and (found.words < DIFFERING_LEAST_AGAINST_VOWELS or 2 * found.against_it > found.words):
        return False
    if found.fit >= FIT_LEAST:
        return is_clear or (lead >= FITTING_LEAD_LEAST and found.outside <= OUTSIDE_MOST)
    if found.for_it >= VOWELS_LEAST and not found.against_it:
        return True
    return is_clear and not is_against and found.outside <= OUTSIDE_MOST


def _compared(words: list[bytes], best: str, rival: str) -> alphabets.Comparison:
    first, second = ([word.decode(name, "replace") for word in words] for name in (best, rival))
    malformed = [
        {word for word in set(texts) if _is_malformed(word, name)} for texts, name in ((first, best), (second, rival))
    ]
    return alphabets.compare(first, second, (malformed[0], malformed[1]))


def _guesses(data: bytes) -> dict[str, float]:
    """Return what chardet's models make of ``data``: encoding → likelihood."""
    import chardet  # noqa: PLC0415 - 46 ms, for the few files that are not UTF-8

    found: dict[str, float] = {}
    for guess in chardet.detect_all(data, ignore_threshold=True, compat_names=False):
        name = codecs.lookup(guess["encoding"] or "ascii").name
        name = _SYNONYMS.get(name, name)
        found[name] = max(found.get(name, 0), guess["confidence"])
    return found


def _is_doubtful_chinese(evidence: bytes) -> bool:
    """Return whether what reads as Chinese may be Japanese or Korean, in EUC, which have the same byte pairs.

    The everyday half of GB 2312 goes by pronunciation, and what begins in x, y and z (是, 在, 中, 有, 学, 一: a quarter
    of any Chinese text) comes last, from lead byte D0. EUC-KR has no Hangul there, EUC-JP rare characters.
    """
    pairs = _DOUBLE_BYTE.findall(evidence)
    late = sum(1 for pair in pairs if pair >= b"\xd0")
    return bool(late < _HANZI_LATE_LEAST * len(pairs))


@cache
def _kind(character: str) -> str:  # noqa: PLR0911 - a table of cases
    """Return a letter for what a character is: ``!`` impossible, ``#`` frame, ``s`` sign, ``m`` mark, scripts' own."""
    if character.isascii():
        return "a" if character.islower() else "A" if character.isupper() else " "
    category = unicodedata.category(character)
    if category in {"Cc", "Cn", "Co", "Cs"}:
        return "!"
    if ord(character) in _FRAMES:
        return "#"
    if category[0] == "L" and character not in "ªºƒµ":
        return _SCRIPTS.get(re.split("[ -]", unicodedata.name(character, ""))[0], "o")
    if category[0] == "M":
        return "m"
    if character in _APOSTROPHES:
        return "'"
    return " " if category == "Zs" or ord(character) >= _FIRST_CJK else "s"


_SCRIPTS: Final = {
    "LATIN": "l",
    "GREEK": "g",
    "CYRILLIC": "c",
    "HEBREW": "h",
    "ARABIC": "r",
    "THAI": "t",
    "CJK": "j",
    "HIRAGANA": "k",
    "KATAKANA": "k",
    "HALFWIDTH": "w",
    "HANGUL": "n",
}


def _is_malformed(word: str, encoding: str) -> bool:
    """Return whether ``word`` has a form that no language gives a word."""
    kinds = "".join(map(_kind, word))
    scripts = set(kinds.replace("a", "l").replace("A", "l")) & {*_SCRIPTS.values(), "o"}
    return (
        "#" in kinds
        or bool(scripts & {"o", "w"})
        or ("k" in scripts and encoding not in _WITH_KANA)
        or {"j", "n"} <= scripts
        or len(scripts & set("lgchrt")) > 1
        or _IDEOGRAPH_IN_WORD.search(kinds) is not None
        or _SIGN_BETWEEN_LETTERS.search(kinds) is not None
        or (word[0] in _NEVER_FIRST and kinds[1:2] in set("aAlgchrt"))
        or (kinds[0] == "'" and kinds[1:2] in set("gchrt"))
        or _is_miscased(word)
    )


def _is_miscased(word: str) -> bool:
    """Return whether capital and small letters, one of them not ASCII, stand as nobody writes them."""
    letters = [character for character in word if character.isalpha()]
    for one, other in itertools.pairwise(letters):
        if one.islower() and other.isupper() and not (one.isascii() and other.isascii()):
            return True
    plain = [character for character in letters if character.isascii()]
    foreign = [character for character in letters if not character.isascii() and character not in "ßŉ"]
    shouted = len(plain) > 1 and all(character.isupper() for character in plain)
    return shouted and any(character.islower() for character in foreign)
