"""Encodings: any text in any of them comes out as its UTF-8, and none is taken for another without saying so."""

from __future__ import annotations

import codecs
import itertools
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.charsets import canonical_name
from csv_transcode.decode import alphabets
from csv_transcode.decode.encoding import SAMPLE_BYTES, STEP_BYTES, Encoding, detect, to_utf8
from csv_transcode.decode.legacy_encodings import CANDIDATES
from csv_transcode.errors import EncodingError
from tests.decode.languages import LANGUAGES, table
from tests.profiles import examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UTFS: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
MARKS: Final = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
OTHERS: Final = (
    "latin-1",
    "shift_jis",
    "euc_kr",
    "gbk",
    "big5",
    "iso2022_jp",
    "utf-7",
    "cp500",
    "hz",
    "johab",
    "ascii",
)
TEXTS: Final = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x1b"), max_size=60
)  # ESC shifts in ISO 2022


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    at = 0
    for size in sizes:
        yield data[at : at + size]
        at += size
    yield data[at:]


def found(data: bytes, given_name: str | None = None, *, whole: bool = True) -> Encoding:
    return detect(data[:SAMPLE_BYTES], whole=whole and len(data) <= SAMPLE_BYTES, given=given_name)


def utf8(data: bytes, encoding: Encoding, size: int = 1 << 30) -> bytes:
    return b"".join(to_utf8((data[at : at + size] for at in range(0, len(data), size)), encoding))


# --- to UTF-8


@pytest.mark.parametrize("name", [*MARKS, *CANDIDATES, *OTHERS])
@given(TEXTS, st.lists(st.integers(0, 9), max_size=40), st.booleans())
@examples(60)
def test_every_text_in_every_encoding_comes_out_as_its_utf8(
    name: str,
    text: str,
    sizes: list[int],
    marked: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    text = text.encode(name, "ignore").decode(name)
    mark = MARKS.get(name, b"") if marked else b""
    data = mark + text.encode(name)
    pieces = list(to_utf8(cut(data, sizes), Encoding(name, len(mark))))
    assert b"".join(pieces) == text.encode()
    assert all(pieces)


def test_utf8_passes_through_as_it_is() -> None:
    chunks = [b"\xef\xbb\xbf", b"", b"a,\xff\xfe\n", b"\xc3", b"\xa9\0\n"]
    pieces = list(to_utf8(chunks, Encoding("utf-8", 3)))
    assert pieces == [b"a,\xff\xfe\n", b"\xc3", b"\xa9\0\n"]
    assert pieces[0] is chunks[2]


def test_one_mark_is_taken_and_no_more() -> None:
    data = codecs.BOM_UTF16_LE * 2 + "a\n".encode("utf-16-le")
    assert utf8(data, found(data)) == "\ufeffa\n".encode()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1 << 30])
@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("cp1252", b"a,\x80\n", b"\x81"),
        ("cp932", "名前,年\n".encode("cp932"), b"\x81\x20"),
        ("euc_jp", "名前,年\n".encode("euc_jp"), b"\x8f\xa1\x20"),
        ("gb18030", "名字,年\n".encode("gb18030"), b"\x81\x20"),
        ("utf-16-le", "a,é\n".encode("utf-16-le"), b"\x00\xdc"),
        ("utf-16-be", "a,é\n".encode("utf-16-be"), b"\xdc\x00"),
        ("utf-32-le", "a,é\n".encode("utf-32-le"), b"\x00\x00\x11\x00"),
        ("ascii", b"a,b\n", b"\xe9"),
    ],
)
def test_what_cannot_be_decoded_is_named_with_its_byte(name: str, good: bytes, bad: bytes, size: int) -> None:
    mark = MARKS.get(name, b"")
    data = mark + good * 3 + bad + good
    with pytest.raises(EncodingError, match=f"not {name} at byte {len(mark + good * 3)}: "):
        utf8(data, Encoding(name, len(mark)), size)


@pytest.mark.parametrize("name", [*UTFS, "cp932", "gb18030"])
def test_a_character_that_is_cut_at_the_end_is_an_error(name: str) -> None:
    data = "a,名".encode(name)
    with pytest.raises(EncodingError, match=f"at byte {len('a,'.encode(name))}: "):
        utf8(data[:-1], Encoding(name), 3)


def test_large_chunks_are_decoded_in_steps() -> None:
    text = "é" * (STEP_BYTES + 5)
    pieces = list(to_utf8([text.encode("cp1252")], Encoding("cp1252")))
    assert b"".join(pieces) == text.encode()
    assert max(map(len, pieces)) <= 4 * STEP_BYTES


# --- marks, and what is given


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "é", "名前\n", "\x00\n"])
def test_marks_are_obeyed(name: str, text: str) -> None:
    mark = MARKS[name]
    data = mark + text.encode(name)
    assert found(data) == Encoding(name, len(mark))
    assert found(data, name) == Encoding(name, len(mark))


def test_a_utf16_mark_before_a_nul_is_no_utf32_mark() -> None:
    data = codecs.BOM_UTF16_LE + "\0a,b\n".encode("utf-16-le")
    assert found(data).name == "utf-16-le"


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"caf\xc3\xa9\n", "cp1252", Encoding("cp1252")),
        (b"caf\xe9\n", "latin1", Encoding("iso8859-1")),
        (b"caf\xe9\n", "UTF8", Encoding("utf-8")),
        (b"\xef\xbb\xbfa\n", "utf-8-sig", Encoding("utf-8", 3)),
        (b"a\n", "utf-8-sig", Encoding("utf-8")),
        (b"\xff\xfea\0", "utf-16", Encoding("utf-16-le", 2)),
        (b"\xfe\xff\0a", "UTF-16", Encoding("utf-16-be", 2)),
        (b"a\0\n\0", "utf-16", Encoding("utf-16-le")),
        (b"\0a\0\n", "utf16", Encoding("utf-16-be")),
        (b"\0\0\0a", "utf-32", Encoding("utf-32-be")),
    ],
)
def test_what_is_given_wins(data: bytes, name: str, expected: Encoding) -> None:
    assert found(data, name) == expected


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (codecs.BOM_UTF8 + b"a\n", "cp1252"),
        (codecs.BOM_UTF16_LE + b"a\0", "utf-8"),
        (codecs.BOM_UTF16_LE + b"a\0", "utf-16-be"),
        (codecs.BOM_UTF16_BE + b"\0a", "utf-16-le"),
        (codecs.BOM_UTF32_LE + b"a\0\0\0", "utf-16"),
        (b"a,b\n", "utf-16"),
        (b"a\n", "klingon"),
        (b"a\n", "rot13"),
    ],
)
def test_what_is_given_and_cannot_be_is_refused(data: bytes, name: str) -> None:
    with pytest.raises(EncodingError, match=f"ENCODING={name}"):
        found(data, name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("UTF8", "utf-8"),
        (" utf_8 ", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("Windows-1252", "cp1252"),
        ("latin1", "iso8859-1"),
        ("Shift-JIS", "shift_jis"),
        ("UTF-16", "utf-16"),
        ("utf-16le", "utf-16-le"),
        ("klingon", None),
        ("", None),
        ("utf\0-8", None),
        *((name, None) for name in ("hex", "base64", "rot13", "zlib", "idna", "punycode", "undefined")),
        *((name, None) for name in ("unicode_escape", "raw_unicode_escape")),
    ],
)
def test_names_are_pythons_own_and_of_character_sets(name: str, expected: str | None) -> None:
    assert canonical_name(name) == expected


# --- by evidence: UTF-8


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")), st.integers(0, 3))
@examples(300)
def test_utf8_is_never_taken_for_anything_else(text: str, cut_off: int) -> None:
    assert found(text.encode()) == Encoding("utf-8")
    data = (text + "é€𝄞").encode()
    assert found(data[: len(data) - cut_off], whole=False) == Encoding("utf-8")


@pytest.mark.parametrize(
    "data", [b"a\0b,c\n", b"a,b\n\0\0,1\n", b"\0,\0\n1,2\n", b"1,2\n" * 50 + b"\0", b"\0" * 9 + b"\n"]
)
def test_nul_in_utf8_is_a_character(data: bytes) -> None:
    assert found(data) == Encoding("utf-8")


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_a_few_broken_bytes_in_utf8_leave_it_utf8(language: str) -> None:
    lines = table(language, 60).encode().split(b"\n")
    for broken in (b"\xff\xff", b"\xe9", b"\xc3", b"\xa9\x93"):
        damaged = list(lines)
        damaged[30] += broken
        assert found(b"\n".join(damaged)) == Encoding("utf-8")


def test_utf8_that_is_mostly_sound_is_utf8_whatever_share_of_its_lines_is_broken() -> None:
    lines = table("russian", 60).encode().splitlines()
    assert found(b"\n".join(line + b"\xd1" for line in lines)) == Encoding("utf-8")


def test_control_characters_are_evidence_against_text() -> None:
    data = table("french", 40).encode("cp1252")
    assert found(data) == Encoding("cp1252")
    with pytest.raises(EncodingError, match="control characters"):
        found(data.replace(b"\xe9", b"\xe9\x01"))


def test_a_few_broken_lines_in_ascii_leave_it_utf8() -> None:
    lines = [b"1,plain,2"] * 100
    lines[50] = b"1,caf\xe9,2"
    assert found(b"\n".join(lines)) == Encoding("utf-8")


@pytest.mark.parametrize("data", [b"name\n\xe9\n\xf1\n", b"caf\xe9", b"\xff\xfd\xfc\x80\x81\n" * 50])
def test_too_little_evidence_is_an_error_that_says_what_to_set(data: bytes) -> None:
    with pytest.raises(EncodingError, match=r"not UTF-8: byte \d+ \(line \d\) is 0x.*ENCODING=cp1252"):
        found(data)


# --- by evidence: where the header alone is not ASCII, and where no record would be left


def of_table(data: bytes, *, whole: bool = True, header: bool = True, invalid_lines_most: float = 0.1) -> str:
    return detect(data, whole=whole, given=None, header=header, invalid_lines_most=invalid_lines_most).name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"Ann\xe9e,Prix\n1,2\n", "cp1252"),
        (b"Ann\xe9e", "cp1252"),
        (b"\r\n\n\rPrix \x80,b\r1,2\r", "cp1252"),
        (b"Prix,\xff\n" + b"1,2\n" * 500, "cp1252"),
        (b"\0,\x01\xe9\n1,2\n", "cp1252"),
        ("город,улица,дом,заказ,количество,покупатель,доставка\n1\n".encode("koi8-r"), "koi8-r"),
    ],
)
@pytest.mark.parametrize("ratio", [0, 0.1, 1])
def test_where_the_header_alone_is_not_ascii_every_encoding_gives_the_same_cells(
    data: bytes, name: str, ratio: float
) -> None:
    assert of_table(data, invalid_lines_most=ratio) == name


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"Ann\xe9e,Prix\n1,2\n3,\xe9\n", id="a cell"),
        pytest.param(b"Ann\xe9e,Prix\n1,2\n3,\xc3\xa9\n", id="UTF-8 in a cell"),
        pytest.param(b"Ann\xe9e,\xc3\xa9\n1,2\n", id="UTF-8 beside it"),
        pytest.param(b"Ann\xe9e,\x81\n1,2\n", id="no cp1252"),
        pytest.param(b"a,b\nAnn\xe9e,2\n", id="another line"),
        pytest.param(b"\x89\0\x1a\xe9", id="anything"),
    ],
)
def test_where_cells_may_depend_on_it_or_it_may_be_utf8_a_header_decides_nothing(data: bytes) -> None:
    with pytest.raises(EncodingError, match="not UTF-8"):
        of_table(data, invalid_lines_most=0)


def test_a_first_line_decides_nothing_where_it_may_be_a_record_or_more_is_to_come() -> None:
    data = b"Ann\xe9e,Prix\n1,2\n"
    for known in ({"header": False}, {"whole": False}):
        with pytest.raises(EncodingError, match="not UTF-8"):
            of_table(data, **known)


@pytest.mark.parametrize(
    ("data", "header", "left"),
    [
        (b"a,b\n1,\xe9\n2,\xe8\n", True, 0),
        (b"a,b\n1,\xe9\n2,\xe8\n", False, 1),
        (b"\xe8\n\xe9\n", False, 0),
        (b"a,b\n1,\xe9\n2,3\n", True, 1),
    ],
)
def test_whatever_share_may_be_damaged_some_record_is_left(data: bytes, header: bool, left: int) -> None:  # noqa: FBT001 - a table
    if left:
        assert of_table(data, header=header, invalid_lines_most=1) == "utf-8"
    else:
        with pytest.raises(EncodingError, match=r"lines are not valid.*set ENCODING"):
            of_table(data, header=header, invalid_lines_most=1)


# --- by evidence: UTF-16 and UTF-32


@pytest.mark.parametrize("language", [*sorted(LANGUAGES), "english"])
@pytest.mark.parametrize("name", UTFS)
def test_utf16_and_utf32_without_a_mark(name: str, language: str) -> None:
    text = table(language, 25) if language in LANGUAGES else "id,name\r\n1,Anna\r\n"
    for end in (len(text), len(text) // 2, text.index("\n") + 1):
        data = text[:end].encode(name)
        assert found(data) == Encoding(name)
        assert found(data[:-1], whole=False) == Encoding(name)
        assert utf8(data, found(data)) == text[:end].encode()


def test_one_line_in_utf16_is_enough() -> None:
    assert found("a,b".encode("utf-16-le")) == Encoding("utf-16-le")


# --- by evidence: the rest


CASES: Final = [(language, name) for language, spec in LANGUAGES.items() for name in spec.encodings]


def judged(data: bytes) -> Encoding | None:
    try:
        return found(data)
    except EncodingError:
        return None


@pytest.mark.parametrize(("language", "name"), CASES)
def test_no_text_is_read_as_another(language: str, name: str) -> None:
    """Of any length: it is read as it was written, or refused; or, in UTF-8, its own records are rejected."""
    for rows in (1, 3, 10, 60):
        text = table(language, rows).encode(name, "ignore").decode(name)
        encoding = judged(text.encode(name))
        if encoding is not None and encoding.name != "utf-8":
            assert utf8(text.encode(name), encoding) == text.encode(), (rows, encoding)


@pytest.mark.parametrize(("language", "name"), CASES)
def test_few_foreign_words_among_english_are_not_read_as_another(language: str, name: str) -> None:
    english = "".join(f"{row},John Smith,Main Street {row},New York,received in good order\n" for row in range(30))
    for rows in (1, 4):
        text = (english + table(language, rows)).encode(name, "ignore").decode(name)
        encoding = judged(text.encode(name))
        if encoding is not None and encoding.name != "utf-8":
            assert utf8(text.encode(name), encoding) == text.encode(), (rows, encoding)


MIXED: Final = [
    (one, other, name)
    for name in ("cp1252", "cp850", "mac-roman", "cp1250", "iso8859-2", "cp852")
    for one, other in itertools.combinations([key for key, spec in LANGUAGES.items() if name in spec.encodings], 2)
]


@pytest.mark.parametrize(("one", "other", "name"), MIXED)
def test_two_languages_in_one_table_are_not_read_as_a_third(one: str, other: str, name: str) -> None:
    for rows, fewer in ((2, 2), (12, 3), (40, 40)):
        text = (table(one, rows) + table(other, fewer)).encode(name, "ignore").decode(name)
        encoding = judged(text.encode(name))
        if encoding is not None and encoding.name != "utf-8":
            assert utf8(text.encode(name), encoding) == text.encode(), (rows, encoding)


ENGLISH: Final = "".join(f"{row},Smith,Elm Street {row}\n" for row in range(40))
SPANISH: Final = ("Angélica", "García", "Germán", "Guzmán", "José", "Martínez", "Peña")
CATALAN: Final = ("Agustí", "Avilés", "Bárcena", "Clàudia", "José", "Martí")


@pytest.mark.parametrize("words", [SPANISH, CATALAN], ids=["Spanish", "Catalan"])
def test_names_that_letter_pairs_take_for_central_european_are_not(words: tuple[str, ...]) -> None:
    data = (ENGLISH + "".join(f"{row},{word},7\n" for row, word in enumerate(words))).encode("cp1252")
    encoding = judged(data)
    assert encoding is None or encoding.name != "cp1250"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("".join(f"{row},Rue Élysée,Zone Européenne\n" for row in range(60)), id="two far ahead"),
        pytest.param("José Peña\nMaría Núñez\nIñigo Ibáñez\nBegoña Muñoz\nÍñigo Ordóñez\n", id="the alphabet of one"),
        pytest.param(
            "Ramón\nInès\nÁlvaro\nHåkon\nNoël\nSøren\nMüller\nBjørn\nÉmile\nÉlise\nAndré\nHélène\n", id="vowels"
        ),
    ],
)
def test_little_is_enough_where_alphabet_and_vowels_are_for_it(text: str) -> None:
    assert judged(f"name\n{text}".encode("cp1252")) == Encoding("cp1252")


@pytest.mark.parametrize(
    ("one", "other", "fit", "vowels"),
    [
        ("Núñez Ibáñez", "Núńez Ibáńez", 1, (0, 0)),
        ("Søren Håkon Lefèvre", "Sřren Hĺkon Lefčvre", 0, (3, 0)),
        ("Dvořák Řehoř", "Dvoøák Øehoø", 1, (1, 0)),
        ("Année Européen", "Annťe Europťen", 0, (0, 0)),
        ("Dvoøák", "Dvořák", -1, (0, 1)),
        ("Anaïs", "Anaďs", 0, (0, 0)),
    ],
)
def test_readings_are_compared_by_alphabet_and_vowels(one: str, other: str, fit: int, vowels: tuple[int, int]) -> None:
    found = alphabets.compare(one.split(), other.split(), (set(), set()))
    assert (found.fit > 0) - (found.fit < 0) == fit
    assert (found.for_it, found.against_it) == vowels


def test_an_ideograph_within_a_latin_word_is_no_chinese() -> None:
    data = "id,name\n0,Dušan\n1,Kanižaj\n2,Žigar\n".encode("cp852")
    encoding = judged(data)
    assert encoding is None or utf8(data, encoding) == data.decode("cp852").encode()


def test_most_languages_are_known_by_their_usual_encoding() -> None:
    """Refusing everything would pass the tests above."""
    usual = [(language, spec.encodings[0]) for language, spec in LANGUAGES.items()]
    known = [language for language, name in usual if judged(table(language, 200).encode(name, "ignore")) is not None]
    assert len(known) >= len(usual) * 4 // 5, sorted(LANGUAGES.keys() - set(known))


@given(st.binary(max_size=200))
@examples(100)
def test_any_bytes_give_an_encoding_or_the_projects_own_error(data: bytes) -> None:
    encoding = judged(data)
    if encoding is not None and encoding.name != "utf-8":
        assert utf8(data, encoding) == data[encoding.mark_bytes :].decode(encoding.name).encode()


def test_japanese_without_kana_is_not_read_as_chinese() -> None:
    """EUC-JP and GB 18030 share their byte pairs, and letter pairs of either language fit."""
    names = ("田中一郎", "高橋健太", "伊藤美香", "渡辺直樹", "中村水産", "小林工業", "加藤太郎", "佐藤花子")
    places = ("東京都渋谷区", "大阪府大阪市北区", "神奈川県横浜市", "千葉県柏市", "京都府京都市", "兵庫県神戸市")
    rows = [f"{n},{names[n % 8]},{places[n % 6]},有限会社{names[n % 5][:2]}建設" for n in range(60)]
    data = "\n".join(rows).encode("euc_jp")
    encoding = judged(data)
    assert encoding is None or utf8(data, encoding) == "\n".join(rows).encode()


@pytest.mark.parametrize("text", ["p" * (1 << 16) + "é", "'" * (1 << 16) + "é", "xs" * (1 << 15) + "\x80"])
def test_a_long_run_of_letters_is_looked_at_once(text: str) -> None:
    """Patterns that look for words must not try again at every letter: that took minutes."""
    with pytest.raises(EncodingError):
        found(text.encode("latin-1") + b"\n\xff\n")
