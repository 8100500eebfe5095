"""Detection finds the dialect that a table was written in, is not moved by a few bad records, and refuses the rest."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csv_transcode.decode.dialect_detection import SAMPLE_BYTES, SURVEY_BYTES, Detected, Given, detect
from csv_transcode.decode.record_shapes import MALFORMED, Quoting, Sample, read_shapes
from csv_transcode.errors import DialectError
from tests.profiles import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from csv_transcode.decode.dialect import Dialect


def found(text: str | bytes, given: Given | None = None, *, whole: bool = True) -> Detected:
    data = text if isinstance(text, bytes) else text.encode()
    return detect(data, given or Given(), whole=whole)


def spoken(detected: Detected) -> tuple[str, str | None, str | None, int]:
    dialect = detected.dialect
    return dialect.delimiter, dialect.quote_char, dialect.escape_char, detected.start


PLAIN: Final = (",", '"', None, 0)
ALONE: Final = ("\t", '"', None, 0)  # one column: a delimiter that nothing holds
ROWS: Final = "".join(f"{n},x{n},2026-11-{n:02}\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("comma", "id,name\n1,a\n2,b\n", PLAIN),
        ("one record without a line end", "id,name\n1,a", PLAIN),
        ("header only", "id,name,day\n", PLAIN),
        ("no record at all", "\n\r\n\r", PLAIN),
        ("empty", "", PLAIN),
        ("blank lines before the header", "\n\nid,name\n1,a\n", PLAIN),
        ("semicolon, decimal commas", "a;b;c\n1,5;2,5;x\n3,0;4,25;y\n", (";", '"', None, 0)),
        ("semicolon and comma both regular, prose in it", "a;b, c\n1;x, y\n2;z, w\n", (";", '"', None, 0)),
        ("tab", "a\tb\n1\t2\n", ("\t", '"', None, 0)),
        ("pipe, CR", "a|b\r1|2\r", ("|", '"', None, 0)),
        ("mixed line ends", "a;b\r\n1;2\n3;4\r5;6", (";", '"', None, 0)),
        ("caret", "a^b\n1^2\n3^4\n", ("^", '"', None, 0)),
        ("unit separator", "a\x1fb,c\n1\x1f2,5\n3\x1f4\n", ("\x1f", '"', None, 0)),
        ("colon", "name:uid:gid\n" + "".join(f"user{n}:{n}:10\n" for n in range(6)), (":", '"', None, 0)),
        ("space", "day kind n\n" + "".join(f"2026-11-0{n} x {n}\n" for n in range(1, 7)), (" ", '"', None, 0)),
        ("delimiters and line ends in quotes", 'a,b\n"x;y\nz",1\n"p|q;\tr",2\n', PLAIN),
        ("every field quoted, semicolons", '"a";"b"\n"1,0";"2,5"\n"3,1";""\n', (";", '"', None, 0)),
        ("quotes in no place of quotes", "place,at\nx,39° 59' 56\"\ny,12° 1' 7\"\n", (",", None, None, 0)),
        ("names that quotes belong to", '"A" SERVICES|1\n"B" SA|2\n"C "D" E" SA|3\nF "G"|4\n', ("|", None, None, 0)),
        (
            "titles, of which some begin with a quote",
            "n\ttitle\n" + '0\tx\n0\t"x"_y\n0\t"z\n' * 9,
            ("\t", None, None, 0),
        ),
        ("single quotes", "a,b\n'x,y',1\n'z',2\n", (",", "'", None, 0)),
        ("apostrophes", "a,b\nit's,1\n'tis,2\nrock 'n' roll,3\n", PLAIN),
        ("backslash before quotes", 'a,b\n"say \\"hi\\", twice",1\n"x",2\n', (",", '"', "\\", 0)),
        ("backslash at the end of a path", 'a,b\n"C:\\dir\\",1\n"D:\\",2\n', PLAIN),
        ("doubled and backslash: no escape is needed", 'a,b\n"x ""y""",1\n"C:\\",2\n', PLAIN),
        ("escaped single quotes", "a|b\n1|'it\\'s | it'\n2|'x'\n", ("|", "'", "\\", 0)),
        ("one column", "name\nalice\nbob\n", PLAIN),
        ("one column of numbers with decimal commas", "value\n1,5\n2,25\n3\n", ("\t", '"', None, 0)),
        ("two names, above records of which most have lost a cell", "id,name\n" + "1,a\n" * 5 + "x\n" * 10, PLAIN),
        ("a sentence above lines, some of which hold a comma", "Dear all, hello\n" + "a, b\n" * 5 + "c\n" * 10, ALONE),
        ("one column, quoted, with commas", '"a, b"\n"c, d"\n"e, f"\n', PLAIN),
        ("one column of JSON", '{"n": 1}\n{"n": 2}\n', (",", None, None, 0)),
        ("two words in one column", "full name\nJohn Smith\nJane Doe\n" * 3, PLAIN),
        ("sep=", "sep=;\na;b;c\n1;2;3\n4;5;6\n", (";", '"', None, 6)),
        ("comments before the header", "# made by\n# us, for you\nid,name\n" + "1,a\n" * 20, (",", '"', None, 24)),
        ("a title", "Sales of 2026\n\nday,shop,sum\n2026-01-01,a,5\n2026-01-02,b,6\n", (",", '"', None, 15)),
        ("a header that begins with #", "#id,name\n1,a\n2,b\n", PLAIN),
        ("a title that belongs to one column", "Value\n68,527.00\n", ("\t", '"', None, 0)),
        (
            "a comma that is regular beside more semicolons that are not",
            "a,b;c;d;e\n1,2;3;4;5\n6,7;8;9;0\n8,9;1\n",
            PLAIN,
        ),
        ("a word above numbers is no title", "a\n1,2,3\n4,5,6\n7,8,9\n", ("\t", '"', None, 0)),
        ("ragged rows", "id,name,day\n1,x\n" + ROWS + "5\n6,7,8,9\n", PLAIN),
        ("bare quotes", 'id,name,day\n1,5" pipe,x\n2,"quoted, it is",x\n' + ROWS, PLAIN),
        ("an unclosed quote", 'id,name,day\n1,"a, b",x\n' + ROWS + '2,"c,d\n' + ROWS, PLAIN),
        ("semicolons in some cells", "id,name,day\n1,a;b,c\n" + ROWS + "2,c;d;e,f\n", PLAIN),
    ],
)
def test_what_a_careful_reader_would_say(
    name: str, text: str, expected: tuple[str, str | None, str | None, int]
) -> None:
    assert spoken(found(text)) == expected, name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a header of fewer fields than every record", "a,b,c\n1,2,3,4\n1,2,3,4\n"),
        ("a header of more fields", "a,b,c,d\n1,2,3\n4,5,6\n"),
        ("a damaged header above a good table", "id,name\n" + ROWS),
        ("a quote that never closes", '"AAA\n'),
        ("text behind the closing quote, one record", '"AAA"BB'),
        ("spaces before quotes", '"a", "b"\n"1", "x, y"\n"2", "z"\n'),
        ("a quoted header above what is not", "'a;b'\n\",2,3(4, x\n#b;c 2;\naa;bob 2\n"),
        ("delimiters in comments count as well", "a,file\nb\n#,x,,\n#,y,z,u\n#,v\nc\n#,w,1,2,3\n"),
        ("numbers with thousands separators", "a,b\n1\n1,2,3\n1,2,3,4\n"),
    ],
)
def test_what_convinces_nobody_is_refused(name: str, text: str) -> None:
    with pytest.raises(DialectError, match=r"'\|'.*set DELIMITER"):
        pytest.fail(f"{name}: {found(text)}")


@pytest.mark.parametrize(
    ("given_", "text", "expected"),
    [
        (Given(delimiter=";"), "a,b\n1,2\n", (";", '"', None, 0)),
        (Given(delimiter=":"), "a:b\n1:2\n", (":", '"', None, 0)),
        (Given(delimiter="þ"), 'aþb\n"1þ2"þ3\n', ("þ", '"', None, 0)),
        (Given(delimiter=","), "a,b,c\n1,2\n", PLAIN),  # what is given is never refused here
        (Given(quote_char=""), 'a,b\n"x,1\n', (",", None, None, 0)),
        (Given(quote_char="'"), "a;b\n'x;y';1\n", (";", "'", None, 0)),
        (Given(quote_char='"', escape_char='"'), 'a,b\n"x\\",1\n', PLAIN),
        (Given(escape_char="\\"), 'a,b\n"x\\"y",1\n', (",", '"', "\\", 0)),
        (Given(delimiter="\t", quote_char="", escape_char=""), 'a\t"b\n', ("\t", None, None, 0)),
    ],
)
def test_what_is_given_wins(given_: Given, text: str, expected: tuple[str, str | None, str | None, int]) -> None:
    assert spoken(found(text, given_)) == expected


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("id,name\n1,a\n2,b\n", True),
        ("1,a\n2,b\n3,c\n", False),
        ("a,b\nc,d\n", True),  # text above text: the default
        ("2026-01-01;x\n2026-01-02;y\n", False),
        ("1,2\n", False),
        ("a,b\n", True),
    ],
)
def test_a_header_is_looked_for_only_when_asked(text: str, header: bool) -> None:  # noqa: FBT001
    assert found(text, Given(header=None)).dialect.header is header
    assert found(text).dialect.header
    assert not found(text, Given(header=False)).dialect.header


# --- tables in every dialect


WORDS: Final = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)
CELLS: Final = st.one_of(
    WORDS,
    st.integers(-999, 99999).map(str),
    st.decimals(-99, 99, places=2).map(str),
    st.dates().map(str),
    st.just(""),
    st.tuples(WORDS, st.sampled_from([", ", "; ", " | ", "\t", " ", '"', "'", "\n", "\\", "° "]), WORDS).map("".join),
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    width = draw(st.integers(2, 6))
    header = draw(st.lists(WORDS, min_size=width, max_size=width, unique=True))
    row = st.lists(CELLS, min_size=width, max_size=width).filter(any)
    return [header, *draw(st.lists(row, min_size=3, max_size=12))]


def written(rows: list[list[str]], delimiter: str, quoting: Quoting, end: str) -> str:
    quote, escape = quoting

    def field(cell: str) -> str:
        if not any(special in cell for special in (delimiter, quote, "\n", "\r")):
            return cell
        inside = (
            cell.replace(escape, escape * 2).replace(quote, escape + quote)
            if escape
            else cell.replace(quote, quote * 2)
        )
        return quote + inside + quote

    return "".join(delimiter.join(map(field, row)) + end for row in rows)


def read(text: str, dialect: Dialect) -> list[list[str]]:
    """Read text that is right, the obvious way."""
    rows: list[list[str]] = []
    row: list[str] = []
    cell, quoted, at = "", False, 0
    text = text if text.endswith(("\n", "\r")) else text + "\n"
    while at < len(text):
        char = text[at]
        if quoted:
            if dialect.escape_char and char == dialect.escape_char:
                at += 1
                cell += text[at]
            elif char != dialect.quote_char:
                cell += char
            elif text[at + 1] == char:
                cell, at = cell + char, at + 1
            else:
                quoted = False
        elif char == dialect.quote_char:
            assert not cell
            quoted = True
        elif char in (dialect.delimiter, "\n", "\r"):
            row, cell = [*row, cell], ""
            if char != dialect.delimiter:
                rows, row = [*rows, row], []
                at += text[at : at + 2] == "\r\n"
        else:
            cell += char
        at += 1
    return rows


@given(tables(), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n", "\r"]))
@examples(150)
def test_a_table_is_read_as_it_was_written(rows: list[list[str]], delimiter: str, end: str) -> None:
    text = written(rows, delimiter, Quoting(), end)
    detected = found(text)
    assert (detected.dialect.delimiter, detected.start) == (delimiter, 0)
    if detected.dialect.quote_char == '"':
        assert read(text, detected.dialect) == rows


@given(tables(), st.sampled_from(",;\t|"), st.sampled_from("\"'"))
@examples(100)
def test_escaped_quotes_are_found_where_doubling_cannot_explain_them(
    rows: list[list[str]], delimiter: str, quote: str
) -> None:
    other = "'" if quote == '"' else '"'
    plain = [[cell.replace(other, "").replace("\\", "") for cell in row] for row in rows]
    body = [*plain, *([f"say {quote}hi{quote}{delimiter} {n}"] + ["1"] * (len(rows[0]) - 1) for n in range(4))]
    text = written(body, delimiter, Quoting(quote, "\\"), "\n")
    detected = found(text)
    assert spoken(detected) == (delimiter, quote, "\\", 0)
    assert read(text, detected.dialect) == body


FAULTS: Final[tuple[Callable[[str, str], str], ...]] = (
    lambda line, delimiter: line + delimiter + "more",
    lambda line, delimiter: line.rpartition(delimiter)[0],
    lambda line, _: line + ' 5" x',
    lambda line, delimiter: '"never closed' + delimiter + line,
    lambda line, delimiter: '"closed" early' + delimiter + line,
    lambda _, delimiter: delimiter * 3,
    lambda _line, _delimiter: "# a note",
    lambda _line, _delimiter: "a;b,c\td|e",
)


@given(st.randoms(use_true_random=False), st.sampled_from(",;\t|"), st.booleans())
@examples(100)
def test_a_few_bad_records_move_nothing(rng: random.Random, delimiter: str, quoted: bool) -> None:  # noqa: FBT001
    mark = '"' if quoted else ""
    rows = [["id", "name", "day", "text"]]
    rows += [
        [str(n), f"n{n}", f"2026-11-{n % 28 + 1:02}", f"{mark}a{delimiter if quoted else ' '}b{mark}"]
        for n in range(40)
    ]
    lines = [delimiter.join(row) for row in rows]
    for _ in range(4):
        at = rng.randrange(1, len(lines))
        lines[at] = rng.choice(FAULTS)(lines[at], delimiter)
    detected = found("\n".join(lines) + "\n")
    assert (detected.dialect.delimiter, detected.dialect.escape_char, detected.start) == (delimiter, None, 0)
    assert detected.confidence > 0.75
    assert not quoted or detected.dialect.quote_char == '"'


@given(st.text(",;\t|ab1\"'\n\r\\# ", max_size=60))
@example("a,b;c\n1,2;3\n")
@examples(400)
def test_a_delimiter_that_makes_everything_regular_is_never_turned_down(text: str) -> None:
    regular = [delimiter for delimiter in ",;\t|" if is_regular(text, delimiter)]
    try:
        detected = found(text)
    except DialectError:
        assert not regular
        return
    assert not regular or detected.dialect.delimiter in regular


def is_regular(text: str, delimiter: str) -> bool:
    widths = [width for _, _, width in obvious_shapes(text.encode(), delimiter, Quoting()) if width]
    return len(widths) > 1 and widths[0] > 1 and len(set(widths)) == 1


# --- the reading behind it


def obvious_shapes(data: bytes, delimiter: str, quoting: Quoting) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and width of each record, byte by byte."""
    at = 0
    while at < len(data):
        end, width = obvious_record(data, at, delimiter.encode(), *(part.encode() for part in quoting))
        if width == MALFORMED:
            end = min((i for i in range(at, len(data)) if data[i] in b"\r\n"), default=len(data))
        end += 2 if data[end : end + 2] == b"\r\n" else end < len(data)
        yield at, end, width
        at = end


def obvious_record(data: bytes, at: int, delimiter: bytes, quote: bytes, escape: bytes) -> tuple[int, int]:
    """Return where the record's text ends, and its width."""
    width = 0
    if data[at : at + 1] in (b"\r", b"\n"):
        return at, 0
    while True:
        width += 1
        at = obvious_field(data, at, delimiter, quote, escape)
        if at == MALFORMED:
            return at, MALFORMED
        if at >= len(data) or data[at] in b"\r\n":
            return at, width
        if data[at : at + 1] != delimiter:
            return at, MALFORMED
        at += 1


def obvious_field(data: bytes, at: int, delimiter: bytes, quote: bytes, escape: bytes) -> int:
    if quote and data[at : at + 1] == quote:
        at += 1
        while at < len(data):
            if (escape and data[at : at + 1] == escape) or data[at : at + 2] == quote * 2:
                at += 2
            elif data[at : at + 1] == quote:
                return at + 1
            else:
                at += 1
        return MALFORMED
    while at < len(data) and data[at : at + 1] not in (delimiter, b"\r", b"\n"):
        if quote and data[at : at + 1] == quote:
            return MALFORMED
        at += 1
    return at


QUOTINGS: Final = st.sampled_from([Quoting(), Quoting("'"), Quoting("", ""), Quoting('"', "\\"), Quoting("'", "\\")])


@given(st.text(",;ab\"'\n\r\\é", max_size=40), st.sampled_from(",;"), QUOTINGS)
@examples(400)
def test_shapes_are_those_of_the_obvious_reading(text: str, delimiter: str, quoting: Quoting) -> None:
    data = text.encode()
    shapes = read_shapes(Sample(data, whole=True), delimiter, quoting)
    triples = zip(shapes.start.tolist(), shapes.end.tolist(), shapes.width.tolist(), strict=True)
    assert list(triples) == list(obvious_shapes(data, delimiter, quoting))


@given(tables(), st.integers(1, 200))
@examples(80)
def test_a_sample_cut_anywhere_holds_no_record_that_the_cut_made(rows: list[list[str]], cut: int) -> None:
    data = written(rows, ",", Quoting(), "\n").encode()
    cut = min(cut, len(data))
    if b"\n" not in data[:cut]:
        return
    shapes = read_shapes(Sample(data[:cut], whole=False), ",", Quoting())
    whole = read_shapes(Sample(data, whole=True), ",", Quoting())
    assert shapes.width.tolist() == whole.width[: len(shapes.width)].tolist()


def test_a_record_that_the_cut_leaves_open_is_no_bad_record() -> None:
    assert read_shapes(Sample(b'a,b\n1,"x\ny,\nz', whole=False), ",", Quoting()).width.tolist() == [2]
    assert read_shapes(Sample(b'a,b\n1,"x\ny,\nz', whole=True), ",", Quoting()).width.tolist() == [2, MALFORMED, 2, 1]


def test_a_header_longer_than_the_survey_is_read() -> None:
    wide = ";".join(f"column {n}" for n in range(SURVEY_BYTES // 8))
    text = f"{wide}\n{';'.join('1' * (SURVEY_BYTES // 8))}\n".encode()
    assert spoken(found(text[:SAMPLE_BYTES], whole=len(text) <= SAMPLE_BYTES)) == (";", '"', None, 0)


def test_quotes_that_come_late_count() -> None:
    early = "a,b\n" + "1,2\n" * (SURVEY_BYTES // 4)
    assert spoken(found(early + '1,"x \\" y, z"\n' * 9)) == (",", '"', "\\", 0)


def test_the_same_sample_gives_the_same_answer() -> None:
    rng = random.Random(7)
    noise = "".join(rng.choices(",;\t|\n\"' ab1", k=5000))
    assert len({str(_answer(noise)) for _ in range(3)}) == 1


def _answer(text: str) -> Detected | str:
    try:
        return found(text)
    except DialectError as error:
        return str(error)
