"""Signs of Windows in ASCII are read as such, and letters of any other encoding never."""

# ruff: noqa: RUF001 - they are signs and the letters of other alphabets
from __future__ import annotations

import codecs
from typing import Final

import pytest

from csv_transcode.decode.encoding import Encoding, detect
from csv_transcode.decode.punctuation import is_of_windows
from csv_transcode.errors import EncodingError
from tests.decode.languages import LANGUAGES

ENCODINGS: Final = (
    *("cp437", "cp737", "cp775", "cp850", "cp852", "cp855", "cp857", "cp860", "cp861", "cp862", "cp863", "cp865"),
    *("cp866", "cp874", "koi8-r", "koi8-u", "mac-roman", "mac-latin2", "mac-cyrillic", "mac-greek", "mac-turkish"),
    *("hp-roman8", "cp932", "euc_jp", "cp949", "gb18030", "cp950", "cp1250", "cp1251", "cp1253", "cp1255", "cp1257"),
    *("iso8859-1", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "iso8859-13"),
)


def of(text: str, encoding: str = "cp1252") -> bytes:
    return f"id,name\n1,John Smith\n2,{text}\n3,plain\n".encode(encoding, "ignore")


@pytest.mark.parametrize(
    "text",
    [
        "First–Citizens Bank,City\N{NO-BREAK SPACE},12\N{NO-BREAK SPACE}km",
        "he said “Hello there” and left…",
        "“Quoted” — with a dash",
        "Smith’s,Jones’s,the Company’s",
        "Foo™ Bar–Baz® 20°",
    ],
)
def test_signs_in_ascii_are_read_as_windows_writes_them(text: str) -> None:
    assert detect(of(text), whole=True, given=None, invalid_lines_most=1) == Encoding("cp1252")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("First–Citizens", id="in part"),
        pytest.param("First–Citizens,é", id="a letter"),
        pytest.param("First–Citizens,£", id="a sign that others have elsewhere"),
        pytest.param("First–Citizens,a•b", id="out of place"),
        pytest.param("City\N{NO-BREAK SPACE}", id="Cityá"),
        pytest.param("citt…", id="città"),
        pytest.param("AO–T", id="AOûT"),
        pytest.param("xlibert…Soc", id="libertàSoc"),
        pytest.param("pa’s,Par’s", id="país"),
        pytest.param("10–20", id="10Ц20"),
    ],
)
def test_signs_that_may_be_letters_are_no_evidence(text: str, request: pytest.FixtureRequest) -> None:
    whole = request.node.callspec.id != "in part"
    if whole:
        assert not is_of_windows(of(text))
    with pytest.raises(EncodingError):
        detect(of(text), whole=whole, given=None, invalid_lines_most=0)


def spellings(word: str) -> set[str]:
    small = "".join(letter if letter.isascii() else letter.lower() for letter in word.upper())  # as people did in DOS
    return {word, word.upper(), word.lower(), word.title(), small}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_word_of_any_language_is_read_as_signs(encoding: str) -> None:
    tried = 0
    for language in LANGUAGES.values():
        for word in language.words:
            for one in spellings(word):
                data = of(f"12 {one} Street,x{one}{one.title()}", encoding)
                if not data.isascii():
                    tried += 1
                    same = codecs.decode(data, "cp1252", "replace") == data.decode(encoding)
                    assert same or not is_of_windows(data), one
    assert tried
