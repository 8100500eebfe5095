"""Keys, after contract section 3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.keys import FORMATS, SOURCE_SUFFIXES, KeyMap, KeyTemplate, collision
from tests.profiles import examples

TEMPLATES = (
    "{output_prefix}{stem}.{format}",
    "{output_prefix}{format}/{stem}.{format}",
    "{format}/{stem}",
    "{output_prefix}{stem}{format}",
    "x/{output_prefix}{format}{stem}",
)


def key_map(
    prefix: str = "in/",
    *,
    template: str = TEMPLATES[0],
    output_prefix: str = "processed/",
    suffixes: tuple[str, ...] = SOURCE_SUFFIXES,
) -> KeyMap:
    return KeyMap(prefix, output_prefix, template, "source-bucket", "target-bucket", suffixes)


@pytest.mark.parametrize(
    ("relative", "stem"),
    [
        pytest.param("a.csv", "a", id="a trailing .csv goes"),
        pytest.param("d/e/a.csv", "d/e/a", id="folders stay"),
        pytest.param("a.CSV", "a.CSV", id="but only exactly so spelt"),
        pytest.param("a.Csv", "a.Csv", id="mixed case stays too"),
        pytest.param("a.txt", "a.txt", id="other source suffixes stay"),
        pytest.param("a.tsv.gz", "a.tsv.gz", id="compressed ones stay"),
        pytest.param("a.csv.gz", "a.csv.gz", id="a .csv inside stays"),
        pytest.param("a.csv.csv", "a.csv.csv", id="what is left is a source name: .csv stays"),
        pytest.param("a.txt.csv", "a.txt.csv", id="the same with .txt"),
        pytest.param("a.csv.gz.csv", "a.csv.gz.csv", id="the same with a compressed one"),
        pytest.param("a.PSV.csv", "a.PSV.csv", id="the same in capitals"),
        pytest.param("a.gz.csv", "a.gz", id="what is left is no source name: .csv goes"),
        pytest.param(".csv", "", id="nothing but the suffix"),
        pytest.param(".csv.csv", ".csv.csv", id="nothing but two of them"),
        pytest.param("a.csv\n", "a.csv\n.csv", id="a line end is not the end of a key"),
        pytest.param("a.dat", "a.dat.csv", id="no source suffix: no key shares outputs with a.dat.csv"),
    ],
)
def test_the_stem_of(relative: str, stem: str) -> None:
    assert key_map().map("in/" + relative).stem == stem


def test_every_key_goes_where_the_contract_says() -> None:
    mapped = key_map().map("in/2026/a b+%ü.csv")
    assert mapped.relative == "2026/a b+%ü.csv"
    assert dict(mapped.outputs) == {
        "parquet": "processed/2026/a b+%ü.parquet",
        "avro": "processed/2026/a b+%ü.avro",
    }
    assert mapped.manifest == "processed/_manifests/2026/a b+%ü.csv.json"
    assert mapped.rejects == "processed/_rejects/2026/a b+%ü.csv.jsonl"
    assert mapped.failed == "processed/_failed/2026/a b+%ü.csv.json"


def test_formats_in_folders_of_their_own() -> None:
    mapped = key_map(template="{output_prefix}{format}/{stem}.{format}").map("in/d/a.csv")
    assert dict(mapped.outputs) == {"parquet": "processed/parquet/d/a.parquet", "avro": "processed/avro/d/a.avro"}


def test_braces_in_keys_and_prefixes_are_no_placeholders() -> None:
    mapped = key_map("{stem}/", output_prefix="{format}{stem}/").map("{stem}/{format}{output_prefix}.csv")
    assert mapped.outputs["avro"] == "{format}{stem}/{format}{output_prefix}.avro"


@pytest.mark.parametrize(
    ("key", "listed", "reason"),
    [
        pytest.param("in/a.csv", True, None, id="a source"),
        pytest.param("in/a.TSV.ZST", True, None, id="a source in capitals"),
        pytest.param("inbox/a.csv", True, "outside the prefix", id="another folder"),
        pytest.param("In/a.csv", True, "outside the prefix", id="prefixes have a case"),
        pytest.param("in/sub/", True, "folder marker", id="a folder marker"),
        pytest.param("in/sub.csv/", False, "folder marker", id="a folder marker, named"),
        pytest.param("in/a.parquet", True, "suffix", id="unknown suffix"),
        pytest.param("in/a.csv.zip", True, "suffix", id="unknown compression"),
        pytest.param("in/a", True, "suffix", id="no suffix"),
        pytest.param("in/a.c\u017fv", True, "suffix", id="a letter that is s in capitals only"),
        pytest.param("in/a.dat", False, None, id="unknown suffix, named"),
        pytest.param("elsewhere/a.csv", False, "outside the prefix", id="outside, named"),
        pytest.param("processed/a.csv", False, "outside the prefix", id="our outputs are in another bucket"),
        pytest.param("in/" + "x" * 1001 + ".csv", True, "too long", id="too long for its manifest"),
        pytest.param("in/" + "ü" * 499 + ".csv", True, "too long", id="too long in bytes, not in characters"),
    ],
)
def test_what_is_skipped(key: str, listed: bool, reason: str | None) -> None:  # noqa: FBT001 - a column of the table
    found = key_map().skip_reason(key, listed=listed)
    assert found == reason if reason is None else reason in (found or "")


@pytest.mark.parametrize(
    ("suffixes", "name", "listed"),
    [
        ((".dat",), "a.dat", True),
        ((".dat",), "a.DAT.Gz", True),
        ((".dat",), "a.csv", False),
        ((".dat",), "adat", False),
        ((".dat", ".csv"), "a.csv.zst", True),
        ((".csv.gz",), "a.csv.gz", True),
        ((".csv.gz",), "a.csv", False),
        ((".csv.gz",), "a.csv.gz.gz", False),
        ((".x-1",), "a.x-1", True),
    ],
)
def test_other_suffixes_can_be_those_of_sources(suffixes: tuple[str, ...], name: str, *, listed: bool) -> None:
    found = key_map(suffixes=suffixes)
    assert (found.skip_reason(f"in/{name}") is None) == listed
    assert found.skip_reason(f"in/{name}", listed=False) is None


@pytest.mark.parametrize(
    ("suffixes", "relative", "stem"),
    [
        pytest.param((".dat",), "a.dat", "a.dat", id="its own suffix stays"),
        pytest.param((".dat",), "a.dat.csv", "a.dat.csv", id="what is left is a source name: .csv stays"),
        pytest.param((".dat",), "a.csv", "a", id="the usual ones count whether or not they are listed"),
        pytest.param((".csv",), "a.txt.csv", "a.txt.csv", id="so that nothing moves where fewer are listed"),
        pytest.param((".csv.gz",), "a.csv.gz", "a.csv.gz", id="a compressed one"),
    ],
)
def test_the_stem_under_other_suffixes(suffixes: tuple[str, ...], relative: str, stem: str) -> None:
    assert key_map(suffixes=suffixes).map("in/" + relative).stem == stem


def test_the_longest_key_that_maps_is_found_by_bytes() -> None:
    room = 1024 - len("processed/_manifests/.csv.json")
    assert key_map().skip_reason("in/" + "x" * room + ".csv") is None
    assert key_map().skip_reason("in/" + "x" * (room + 1) + ".csv") is not None


def test_prefixes_are_literal() -> None:
    assert key_map("in").skip_reason("inbox/a.csv") is None
    assert key_map("in").map("inbox/a.csv").relative == "box/a.csv"


@pytest.mark.parametrize(
    "key", ["processed/a.csv", "processed/_manifests/a.csv", "processed/_failed/in/a.csv", "tables/parquet/a.csv"]
)
def test_our_own_outputs_are_never_sources_in_one_bucket(key: str) -> None:
    one_bucket = KeyMap("in/", "processed/", "tables/{format}/{stem}", "bucket", "bucket")
    assert one_bucket.skip_reason(key, listed=False) == "an output of this function"
    assert one_bucket.skip_reason("in/a.csv") is None


def test_a_key_outside_the_prefix_has_no_map() -> None:
    with pytest.raises(ValueError, match="outside the prefix"):
        key_map().map("elsewhere/a.csv")


# Keys made of the pieces that a suffix rule could confuse.
SUFFIXES = (".csv", ".CSV", ".Csv", ".txt", ".dat", ".tsv", ".psv", ".gz", ".bz2", ".xz", ".zst")
ENDS = (".parquet", ".avro", "avro", ".json", ".jsonl")
HEADS = ("processed/", "_manifests/", "_rejects/", "_failed/", "parquet/", "avro/", "/")
PIECES = st.sampled_from((*SUFFIXES, *ENDS, *HEADS, "a", "ü", " ", "+", "%2F", "\n"))
RELATIVES = st.lists(PIECES, max_size=6).map("".join)


@examples(300)
@given(
    st.lists(RELATIVES, min_size=2, max_size=12, unique=True),
    st.sampled_from(TEMPLATES),
    st.lists(st.sampled_from((".csv", ".dat", ".gz", ".csv.gz", ".dat.zst", ".json")), min_size=1, max_size=3),
)
def test_no_two_sources_share_any_key(relatives: list[str], template: str, suffixes: list[str]) -> None:
    where = key_map(template=template, suffixes=tuple(suffixes))
    mapped = [target for relative in relatives for target in where.map("in/" + relative)]
    assert len(set(mapped)) == len(mapped) == len(relatives) * (len(FORMATS) + 3)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_two_sources_share_any_key_whatever_they_are_called(one: str, other: str) -> None:
    if one != other:
        assert not set(key_map("").map(one)) & set(key_map("").map(other))


@pytest.mark.parametrize(
    "text",
    [
        "{output_prefix}{stem}",
        "{output_prefix}{format}",
        "{stem}{stem}.{format}",
        "{{stem}}.{format}",
        "{stem!r}.{format}",
        "{stem:>9}.{format}",
        "{stem}.{format}.{date}",
        "{stem}.{format}{",
        "{stem}.{format}/",
        "",
    ],
)
def test_templates_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\{stem\} once"):
        KeyTemplate.parse(text)


@pytest.mark.parametrize(
    ("template", "folder"),
    [
        pytest.param("{output_prefix}{stem}.{format}", None, id="the default"),
        pytest.param("{output_prefix}{format}/{stem}", None, id="a folder of its own"),
        pytest.param("{output_prefix}{stem}.{format}.json", "processed/_manifests/", id="ends like a manifest"),
        pytest.param("{format}{stem}", None, id="begins like no record"),
        pytest.param("processed/_rejects/{format}{stem}l", "processed/_rejects/", id="can end like a rejects list"),
        pytest.param("proc{stem}ed/{format}", None, id="ends like no record"),
    ],
)
def test_templates_whose_outputs_could_be_records(template: str, folder: str | None) -> None:
    assert collision(KeyTemplate.parse(template), "processed/") == folder
