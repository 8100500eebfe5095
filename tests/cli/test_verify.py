"""verify: what is right is found right, and every kind of difference is found, and said to be where it is."""

from __future__ import annotations

import gzip
import io
import json
import struct
from typing import TYPE_CHECKING, Any, Final

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csv_transcode.cli import source_records
from tests.cli.commands import IN, OUT, Ended, call, listen
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.standing import AVRO, KEY, MANIFEST, PARQUET, REJECTS, manifest, put, standing

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    Capture = pytest.CaptureFixture[str]

# every type and spelling, nulls, the empty text, quotes, a line end in a cell; and records that are rejected
DAY: Final = (
    "\ufeffid,text,amount,whole,short,small,exact,flag,day,local,utc,minutes,special,none\r\n"
    '1,"a, ""b""\r\nc",17.00,17,.5,1e-05,12345678901234567.10,TRUE,2026-11-23,2026-11-23 12:00:05.250,'
    "2026-11-23T12:00:05Z,2026-11-23T12:00+00:00,nan,\r\n"
    "2,too few\r\n"
    '-3,"",-0.50,3.5,-.25,1.5E+10,-1.25,FALSE,0001-01-01,2026-11-23 12:00:05,2026-01-01T00:00:00Z,'
    "2026-11-24T00:00+00:00,1.5,\r\n"
    ',Ἀθῆναι,,,,,,,,,,,-inf,""\r\n'
    "4,one,3.25,0.1,1.75,2.25,7.35,TRUE,2026-11-24,2026-11-23 12:00:06,2026-01-01T00:00:01Z,"
    "2026-11-24T00:01+00:00,2.25,,and more\r\n"
).encode()
SETTINGS: Final = ("--set", "MAX_REJECTED_RATIO=1")
CELLS: Final = 2 * 3 * 14
MANY: Final = b"id,text\n" + b"".join(b"%d,%0200d\n" % (number, number) for number in range(20_000))


@pytest.fixture
def local(tmp_path: Path, capsys: Capture) -> tuple[Path, Path, Path]:
    """Return a source, converted, and its outputs."""
    source = tmp_path / "day.csv"
    source.write_bytes(DAY)
    assert call(capsys, "convert", source, tmp_path, *SETTINGS).code == 0
    return source, tmp_path / "day.parquet", tmp_path / "day.avro"


def verify(capsys: Capture, *arguments: object) -> Ended:
    return call(capsys, "verify", *arguments, *SETTINGS, "--json")


class TestLocalFiles:
    def test_what_is_right_is_verified(self, local: tuple[Path, Path, Path], capsys: Capture) -> None:
        ended = verify(capsys, *local)
        assert (ended.code, ended.json["objects"]["verified"], ended.json["cells"]) == (0, 1, CELLS)
        assert ended.err.startswith(f"verified: {local[0]}, {CELLS} cells of 3 records in parquet and avro\n")

    @pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard"])
    def test_of_every_codec_also_where_fastavro_has_none(
        self, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, codec: str
    ) -> None:
        source = tmp_path / "day.csv"
        source.write_bytes(DAY)
        assert call(capsys, "convert", source, tmp_path, *SETTINGS, "--set", f"AVRO_CODEC={codec}").code == 0
        assert verify(capsys, source, tmp_path / "day.avro").code == 0

        def missing_codec(*_: object) -> None:
            raise ValueError(codec)

        missing_codec.__qualname__ = fastavro.read.BLOCK_READERS["lz4"].__qualname__  # as of one that is not there
        for name in ("snappy", "zstandard"):
            monkeypatch.setitem(fastavro.read.BLOCK_READERS, name, missing_codec)
        assert verify(capsys, source, tmp_path / "day.avro").code == 0
        if codec == "snappy":  # then its checksum counts, which fastavro does not look at
            content = (tmp_path / "day.avro").read_bytes()
            (tmp_path / "day.avro").write_bytes(content[:-17] + bytes([content[-17] ^ 1]) + content[-16:])
            assert "the checksum of an Avro block is another" in verify(capsys, source, tmp_path / "day.avro").err

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("id", -4),
            ("text", None),
            ("text", "a, b"),
            ("amount", -0.51),
            ("amount", -0.5000000001),
            ("whole", 3.25),
            ("small", 15000000000.000002),
            ("exact", None),
            ("flag", True),
            ("special", float("nan")),
        ],
    )
    def test_one_changed_cell_is_named(
        self, local: tuple[Path, Path, Path], capsys: Capture, column: str, value: object
    ) -> None:
        source, parquet, avro = local
        table = pq.read_table(parquet)
        cells = table[column].to_pylist()
        cells[1] = value
        position = table.column_names.index(column)
        pq.write_table(
            table.set_column(position, table.schema.field(column), pa.array(cells, table[column].type)), parquet
        )
        ended = verify(capsys, source, parquet, avro)
        (found,) = ended.json["results"]
        assert (ended.code, found["outcome"], found["cells_differing"], found["problems"]) == (1, "different", 1, [])
        (cell,) = found["differences"]
        assert (cell["output"], cell["record"], cell["column"]) == ("parquet", 3, column)  # record 2 was rejected
        assert f"parquet, record 3, column '{column}': the source says " in ended.err

    def test_a_changed_cell_of_the_avro_is_named_too(self, local: tuple[Path, Path, Path], capsys: Capture) -> None:
        source, parquet, avro = local
        rewrite_avro(avro, lambda records: records[2].update(text="Athen"))
        (found,) = verify(capsys, source, parquet, avro).json["results"]
        assert found["differences"] == [
            {"output": "avro", "record": 4, "column": "text", "source": "Ἀθῆναι", "value": "Athen"}
        ]

    def test_null_is_not_the_empty_text(self, local: tuple[Path, Path, Path], capsys: Capture) -> None:
        source, parquet, avro = local
        rewrite_avro(avro, lambda records: records[1].update(text=None))
        (found,) = verify(capsys, source, parquet, avro).json["results"]
        assert [(cell["source"], cell["value"]) for cell in found["differences"]] == [("", None)]

    @pytest.mark.parametrize(
        ("change", "why"), [(list.pop, "ends after 2 rows"), (lambda all_: all_.append(all_[0]), "more rows")]
    )
    def test_another_number_of_records(
        self, local: tuple[Path, Path, Path], capsys: Capture, change: Any, why: str
    ) -> None:
        source, parquet, avro = local
        rewrite_avro(avro, change)
        ended = verify(capsys, source, parquet, avro)
        assert (ended.code, why in ended.json["results"][0]["problems"][0]) == (1, True)

    def test_columns_in_another_order(self, local: tuple[Path, Path, Path], capsys: Capture) -> None:
        source, parquet, avro = local
        table = pq.read_table(parquet)
        pq.write_table(table.select([1, 0, *range(2, table.num_columns)]), parquet)
        ended = verify(capsys, source, parquet, avro)
        assert ended.json["results"][0]["problems"] == ["parquet: column 1 is 'text', expected 'id'"]

    @pytest.mark.parametrize(
        ("field", "why"), [("name", "column 2 is 'texT', expected 'text'"), ("doc", "it was 'texT'")]
    )
    def test_columns_with_other_names(
        self, local: tuple[Path, Path, Path], capsys: Capture, field: str, why: str
    ) -> None:
        content = local[2].read_bytes()
        reader: Any = fastavro.reader(io.BytesIO(content))
        records: list[Any] = list(reader)
        schema = reader.writer_schema
        schema["fields"][1][field] = "texT"
        schema.pop("__fastavro_parsed__", None)
        for one in records:
            one["texT"] = one["text"]
        with local[2].open("wb") as file:
            fastavro.writer(file, schema, records)
        (found,) = verify(capsys, *local).json["results"]
        assert why in found["problems"][0]

    def test_another_type(self, local: tuple[Path, Path, Path], capsys: Capture) -> None:
        source, parquet, avro = local
        table = pq.read_table(parquet)
        pq.write_table(table.set_column(0, "id", table["id"].cast(pa.string())), parquet)
        ended = verify(capsys, source, parquet, avro)
        assert ended.json["results"][0]["problems"] == ["parquet: column 'id' is string, expected int64"]

    @pytest.mark.parametrize("name", ["day.parquet", "day.avro", "day.rejects.jsonl"])
    def test_every_flipped_byte_that_matters_is_found_or_harmless(
        self, local: tuple[Path, Path, Path], capsys: Capture, name: str
    ) -> None:
        """A flip that goes unnoticed has changed no cell: other people's readers read the same."""
        path = local[0].parent / name
        whole = path.read_bytes()
        before = None if name.endswith("jsonl") else read_all(whole)
        for place in range(0, len(whole), max(1, len(whole) // 16)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            if call(capsys, "verify", *local, *SETTINGS, "--quiet").code == 0 and before is not None:
                assert read_all(path.read_bytes()) == before, place
        path.write_bytes(whole)

    def test_rejects_that_are_not_in_the_source(self, local: tuple[Path, Path, Path], capsys: Capture) -> None:
        rejects = local[0].with_name("day.rejects.jsonl")
        rejects.write_text(rejects.read_text().replace("too few", "too far"))
        (found,) = verify(capsys, *local).json["results"]
        assert "other bytes than the rejects say" in found["problems"][0]

    def test_a_record_that_is_neither_written_nor_rejected(
        self, local: tuple[Path, Path, Path], capsys: Capture
    ) -> None:
        rejects = local[0].with_name("day.rejects.jsonl")
        rejects.write_text("".join(rejects.read_text().splitlines(keepends=True)[:1]))
        (found,) = verify(capsys, *local).json["results"]
        assert "a record that the rejects do not name cannot be read: field_count" in found["problems"][0]

    def test_a_source_that_has_changed_a_digit(self, local: tuple[Path, Path, Path], capsys: Capture) -> None:
        local[0].write_bytes(DAY.replace(b"17.00", b"17.01"))
        (found,) = verify(capsys, *local).json["results"]
        assert [(cell["output"], cell["source"], cell["value"]) for cell in found["differences"]] == [
            ("parquet", "17.01", "17.0"),
            ("avro", "17.01", "17.0"),
        ]

    def test_the_csv_module_has_a_say(
        self, local: tuple[Path, Path, Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Were the decoder to read another cell, and the outputs with it, the csv module would not."""

        def other(self: Any, data: bytes, count: int) -> list[list[str]]:
            return [[cell.replace("one", "two") for cell in row] for row in as_it_is(self, data, count)]

        as_it_is = source_records.SourceRecords._csv_rows
        local[0].write_bytes(DAY.replace(b",and more", b""))
        call(capsys, "convert", local[0], local[0].parent, *SETTINGS)
        assert verify(capsys, *local).code == 0
        monkeypatch.setattr(source_records.SourceRecords, "_csv_rows", other)
        (found,) = verify(capsys, *local).json["results"]
        assert found["problems"] == ["source: column 'text': Python's csv module reads other cells than the decoder"]

    @pytest.mark.parametrize(
        ("content", "options"),
        [
            (b"id;text\n1;'a;b'\n2;'c\\'d'\n", ("ESCAPE_CHAR=\\", "QUOTE_CHAR='")),
            (b"a,b\n1,NA\n2,\n", ('NULL_VALUES=["NA"]',)),
            (b"a;b\n1,50;x\n2,25;y\n", ("DECIMAL_SEPARATOR=,", "DELIMITER=;")),
            (b"1,x\n2,y\n", ("HEADER=false",)),
            (b"only\n1\n\n3\n\n\n", ()),
            (b"a,a,,b c\n1,2,3,4\n", ()),
            (b"price\n7\n7.5\n", ('COLUMN_TYPES={"price": "decimal(5,2)"}',)),
            (b"when\n2026-11-23T12:00:05.123456789Z\n", ("NANOSECONDS=true",)),
            (b"a,b\n", ()),
            ("a,b\n1,é\n".encode("utf-16"), ()),
        ],
    )
    def test_of_every_dialect(self, tmp_path: Path, capsys: Capture, content: bytes, options: tuple[str, ...]) -> None:
        source = tmp_path / "day.csv"
        source.write_bytes(content)
        given = [argument for option in options for argument in ("--set", option)]
        assert call(capsys, "convert", source, tmp_path, *given).code == 0
        ended = call(capsys, "verify", source, tmp_path / "day.parquet", tmp_path / "day.avro", *given)
        assert (ended.code, ended.err.startswith("verified: ")) == (0, True), ended.err

    def test_what_is_no_output_at_all(self, local: tuple[Path, Path, Path], capsys: Capture) -> None:
        (found,) = verify(capsys, local[0], local[0]).json["results"]
        assert "neither Parquet nor Avro" in found["problems"][0]


def rewrite_avro(path: Path, change: Any) -> None:
    """Write an Avro file again, by fastavro, with its records changed."""
    reader: Any = fastavro.reader(io.BytesIO(path.read_bytes()))
    records = list(reader)
    change(records)
    with path.open("wb") as file:
        fastavro.writer(file, reader.writer_schema, records, codec="deflate")


def read_all(content: bytes) -> str:
    """Return all that a reader finds, as text: nan is not equal to itself."""
    if content[:4] == b"PAR1" or content[-4:] == b"PAR1":
        return repr(pq.read_table(io.BytesIO(content)).to_pylist())
    return repr(list(fastavro.reader(io.BytesIO(content))))


class TestObjects:
    def test_a_prefix_of_which_all_is_right(self, s3: S3Client, capsys: Capture) -> None:
        for name in ("a", "b/c", "x\x1b[2J"):
            put(s3, DAY, f"in/{name}.csv")
        for name, content in (("empty", b""), ("blank", b"\n\r\n\n"), ("archive", gzip.compress(b""))):
            put(s3, content, f"in/{name}.csv")
        assert call(capsys, "convert", IN, OUT, *SETTINGS).code == 0
        ended = verify(capsys, IN, OUT)
        assert ended.json["objects"] == {"verified": 3, "different": 0, "unverified": 0, "skipped": 3}
        assert (ended.code, ended.json["cells"]) == (0, 3 * CELLS)
        assert r"in/x\x1b[2J.csv" in ended.err
        assert "\x1b" not in ended.err + ended.out

    def test_one_object_and_some_keys(self, s3: S3Client, capsys: Capture, tmp_path: Path) -> None:
        put(s3, DAY)
        put(s3, DAY, "in/other.csv")
        call(capsys, "convert", f"{IN}day.csv", OUT, *SETTINGS)
        assert verify(capsys, f"{IN}day.csv", OUT).code == 0
        keys = tmp_path / "keys.txt"
        keys.write_text("in/day.csv\n\n")
        assert verify(capsys, IN, OUT, "--keys", keys).json["objects"]["verified"] == 1
        keys.write_text("elsewhere/day.csv\n")
        assert "does not lie under SOURCE" in verify(capsys, IN, OUT, "--keys", keys).json["error"]

    def test_one_nested_key_may_have_been_converted_under_a_shorter_prefix(self, s3: S3Client, capsys: Capture) -> None:
        put(s3, DAY, "in/2026/day.csv")
        call(capsys, "convert", IN, OUT, *SETTINGS)
        ended = verify(capsys, f"{IN}2026/day.csv", OUT)
        hint = "; was it converted under a shorter prefix? --set PREFIX=in/\n"
        assert (ended.code, hint in ended.err) == (1, True)
        assert verify(capsys, f"{IN}2026/day.csv", OUT, "--set", "PREFIX=in/").code == 0
        put(s3, DAY, "in/later.csv")
        assert "shorter prefix" not in verify(capsys, f"{IN}later.csv", OUT).err

    @pytest.fixture
    def converted(self, s3: S3Client, capsys: Capture) -> S3Client:
        put(s3, DAY)
        assert call(capsys, "convert", IN, OUT, *SETTINGS).code == 0
        return s3

    def test_a_flipped_cell_and_its_etag(self, converted: S3Client, capsys: Capture) -> None:
        table = pq.read_table(io.BytesIO(standing(converted)[PARQUET]))
        changed = table.set_column(0, "id", pa.array([1, -4, None], pa.int64()))
        content = io.BytesIO()
        pq.write_table(changed, content)
        put_output(converted, PARQUET, content.getvalue())
        ended = verify(capsys, IN, OUT)
        (found,) = ended.json["results"]
        assert (ended.code, found["outcome"]) == (1, "different")
        assert ["ETag" in found["problems"][0], "bytes" in found["problems"][1]] == [True, True]
        assert found["differences"] == [
            {"output": "parquet", "record": 3, "column": "id", "source": "-3", "value": "-4"}
        ]

    def test_a_swapped_avro(self, converted: S3Client, capsys: Capture) -> None:
        """Another file's, of the same columns, and the manifest told so: only the values show it."""
        put(converted, DAY.replace(b",one,", b",two,").replace(b"17.00", b"18.00"), "in/other.csv")
        call(capsys, "convert", IN, OUT, *SETTINGS)
        other = standing(converted)["processed/other.avro"]
        put_output(converted, AVRO, other)
        claim(converted, "avro", other)
        (found,) = [one for one in verify(capsys, IN, OUT).json["results"] if one["outcome"] == "different"]
        assert (found["key"], found["problems"]) == (KEY, [])
        assert [(cell["output"], cell["column"]) for cell in found["differences"]] == [("avro", "amount")]

    def test_an_avro_that_is_cut_at_a_block_s_end(self, s3: S3Client, capsys: Capture) -> None:
        """It reads as valid, and fewer records: only the source and the manifest show it."""
        put(s3, MANY)
        assert call(capsys, "convert", IN, OUT, "--set", "AVRO_CODEC=null").code == 0
        whole = standing(s3)[AVRO]
        cut = whole[: ends_of_blocks(whole)[-2]]
        assert 0 < len(list(fastavro.reader(io.BytesIO(cut)))) < 20_000
        put_output(s3, AVRO, cut)
        claim(s3, "avro", cut)
        (found,) = verify(capsys, IN, OUT, "--set", "AVRO_CODEC=null").json["results"]
        assert found["outcome"] == "different"
        assert "avro: it ends after " in found["problems"][0]

    @pytest.mark.parametrize("versioned", [False, True])
    def test_a_source_that_has_changed_since(self, s3: S3Client, capsys: Capture, *, versioned: bool) -> None:
        if versioned:
            s3.put_bucket_versioning(Bucket=INPUT_BUCKET, VersioningConfiguration={"Status": "Enabled"})
        put(s3, DAY)
        assert call(capsys, "convert", IN, OUT, *SETTINGS).code == 0
        put(s3, DAY.replace(b"17.00", b"17.01"))
        ended = verify(capsys, IN, OUT)
        (found,) = ended.json["results"]
        assert "the source" in ended.err
        assert "changed since" in ended.err
        if versioned:
            assert (ended.code, found["outcome"], found["cells"]) == (0, "verified", CELLS)
            s3.delete_object(Bucket=INPUT_BUCKET, Key=KEY)
            assert "it is gone" in verify(capsys, IN, OUT).json["results"][0]["note"]
        else:
            assert (ended.code, found["outcome"], found["cells"]) == (1, "unverified", 0)

    def test_a_missing_manifest_a_claim_and_a_damaged_one(self, converted: S3Client, capsys: Capture) -> None:
        told = manifest(converted)
        put_output(converted, MANIFEST, json.dumps(told | {"state": "pending"}).encode())
        ended = verify(capsys, IN, OUT)
        assert (ended.code, "pending" in ended.json["results"][0]["reason"]) == (1, True)
        put_output(converted, MANIFEST, b"{")
        assert verify(capsys, IN, OUT).json["results"][0]["outcome"] == "different"
        converted.delete_object(Bucket=OUTPUT_BUCKET, Key=MANIFEST)
        ended = verify(capsys, IN, OUT)
        assert (ended.code, ended.json["results"][0]["outcome"]) == (1, "unverified")
        assert "there is no manifest at s3://output-bucket/processed/_manifests/day.csv.json" in ended.err

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("schema", 0, "type"), "int128"),
            (("schema", 0, "type"), "decimal(39,2)"),
            (("schema", 0, "name"), "\ud800"),
            (("schema", 2, "spelling"), {"scale": "two"}),
            (("schema", 2, "spelling"), {"scale": 1 << 40}),
            (("schema", 7, "spelling"), {"case": "odd"}),
            (("schema", 9, "spelling"), {"separator": 1, "seconds": True}),
            (("dialect", "delimiter"), ""),
            (("dialect", "delimiter"), "\n"),
            (("dialect", "delimiter"), '"'),
            (("dialect", "quote_char"), ""),
            (("dialect", "escape_char"), "ab"),
            (("dialect", "encoding"), "no-such"),
            (("dialect", "decimal_separator"), ""),
        ],
    )
    def test_an_odd_manifest_is_a_damaged_one(
        self, converted: S3Client, capsys: Capture, path: tuple[Any, ...], value: Any
    ) -> None:
        told = manifest(converted)
        *above, last = path
        place = told
        for step in above:
            place = place[step]
        place[last] = value
        put_output(converted, MANIFEST, json.dumps(told).encode())
        ended = verify(capsys, IN, OUT)
        assert (ended.code, ended.json["results"][0]["outcome"]) == (1, "different")
        assert ended.err.startswith(f"different: {KEY}: the manifest at s3://output-bucket/{MANIFEST} is damaged\n")

    def test_what_names_no_column_is_not_verified(self, converted: S3Client, capsys: Capture) -> None:
        put_output(converted, MANIFEST, json.dumps(manifest(converted) | {"schema": []}).encode())
        ended = verify(capsys, IN, OUT)
        assert (ended.code, "names no column: convert it again with --force" in ended.err) == (1, True)

    def test_what_names_no_output_is_not_verified(self, converted: S3Client, capsys: Capture) -> None:
        told = manifest(converted)
        put_output(converted, MANIFEST, json.dumps(told | {"outputs": []}).encode())
        ended = verify(capsys, IN, OUT)
        (found,) = ended.json["results"]
        assert (ended.code, found["outcome"], found["formats"]) == (1, "different", [])
        assert found["problems"] == ["manifest: it names no output"]

    def test_the_formats_that_were_read_are_named_and_those_that_lack(
        self, converted: S3Client, capsys: Capture
    ) -> None:
        told = manifest(converted)
        put_output(converted, MANIFEST, json.dumps(told | {"outputs": told["outputs"][:1]}).encode())
        ended = verify(capsys, IN, OUT)
        assert (ended.code, ended.json["results"][0]["formats"]) == (0, ["parquet"])
        why = "the manifest names no avro, which OUTPUT_FORMATS asks for"
        assert ended.err.startswith(f"verified: {KEY}, {CELLS // 2} cells of 3 records in parquet ({why})\n")
        assert why not in verify(capsys, IN, OUT, "--set", "OUTPUT_FORMATS=parquet").err

    @pytest.mark.parametrize("key", [PARQUET, AVRO, REJECTS])
    def test_what_is_different_says_how_it_is_mended(self, converted: S3Client, capsys: Capture, key: str) -> None:
        put_output(converted, key, b"another")
        ended = verify(capsys, IN, OUT)
        assert (ended.code, "(convert it again with --force)\n" in ended.err) == (1, True)
        assert "skipped: " in call(capsys, "convert", IN, OUT, *SETTINGS).err
        assert call(capsys, "convert", IN, OUT, *SETTINGS, "--force").code == 0
        ended = verify(capsys, IN, OUT)
        assert (ended.code, "--force" in ended.err) == (0, False)

    def test_a_file_that_failed_says_where_to_look(self, s3: S3Client, capsys: Capture) -> None:
        put(s3, DAY)
        assert call(capsys, "convert", IN, OUT).code == 1
        assert "it has failed, see python -m csv_transcode failed" in verify(capsys, IN, OUT).err

    @pytest.mark.parametrize("key", [PARQUET, AVRO, REJECTS])
    def test_what_is_missing(self, converted: S3Client, capsys: Capture, key: str) -> None:
        converted.delete_object(Bucket=OUTPUT_BUCKET, Key=key)
        ended = verify(capsys, IN, OUT)
        assert (ended.code, ended.json["results"][0]["outcome"]) == (1, "different")

    @pytest.mark.parametrize("field", ["read", "written", "rejected"])
    def test_counts_that_are_not_so(self, converted: S3Client, capsys: Capture, field: str) -> None:
        told = manifest(converted)
        told["records"][field] += 1
        put_output(converted, MANIFEST, json.dumps(told).encode())
        ended = verify(capsys, IN, OUT)
        assert (ended.code, ended.json["results"][0]["problems"][0][:9]) == (1, "manifest:")

    def test_counts_that_agree_with_each_other_alone(self, converted: S3Client, capsys: Capture) -> None:
        told = manifest(converted)
        told["records"] = {"read": 6, "written": 4, "rejected": 2}
        for output in told["outputs"]:
            output["rows"] = 4
        put_output(converted, MANIFEST, json.dumps(told).encode())
        (found,) = verify(capsys, IN, OUT).json["results"]
        assert found["problems"] == ["manifest: 6 read, 4 written, 2 rejected; counted 5, 3, 2"]

    def test_a_spelling_that_does_not_give_the_text(self, converted: S3Client, capsys: Capture) -> None:
        told = manifest(converted)
        next(entry for entry in told["schema"] if entry["name"] == "amount")["spelling"] = {"scale": 3}
        put_output(converted, MANIFEST, json.dumps(told).encode())
        (found,) = verify(capsys, IN, OUT).json["results"]
        assert {cell["column"] for cell in found["differences"]} == {"amount"}

    def test_no_permission_is_said_and_is_not_a_difference(
        self, converted: S3Client, capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(params: dict[str, Any], **_: object) -> None:
            if params["Key"] == AVRO:
                params["Bucket"] = "somebody-elses"

        listen(monkeypatch, "provide-client-params.s3.GetObject", refuse)
        ended = verify(capsys, IN, OUT)
        assert (ended.code, ended.json["results"][0]["outcome"]) == (1, "unverified")
        assert converted.list_buckets()["Buckets"]

    def test_large_outputs_are_read_in_ranges(
        self, s3: S3Client, capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("csv_transcode.cli.sources.WHOLE_BYTES_MAX", 1000)
        monkeypatch.setattr("csv_transcode.cli.sources.AHEAD_BYTES", 10_000)
        put(s3, MANY)
        assert call(capsys, "convert", IN, OUT).code == 0
        assert verify(capsys, IN, OUT).json["cells"] == 2 * 2 * 20_000

    @pytest.mark.parametrize(
        "arguments", [(IN, OUT, "day.avro"), (IN, "day.avro"), ("day.csv", OUT), (IN, OUT, "--rejects", "x")]
    )
    def test_places_that_make_no_sense(self, capsys: Capture, arguments: tuple[str, ...]) -> None:
        assert call(capsys, "verify", *arguments).code == 2


def put_output(client: S3Client, key: str, content: bytes) -> None:
    client.put_object(Bucket=OUTPUT_BUCKET, Key=key, Body=content)


def claim(client: S3Client, format_name: str, content: bytes) -> None:
    """Have the manifest name what stands, as if it had been written so."""
    told = manifest(client)
    output = next(output for output in told["outputs"] if output["format"] == format_name)
    output["etag"] = client.head_object(Bucket=OUTPUT_BUCKET, Key=output["key"])["ETag"].strip('"')
    output["bytes"] = len(content)
    put_output(client, MANIFEST, json.dumps(told).encode())


def ends_of_blocks(content: bytes) -> list[int]:
    """Return where each block of an Avro file ends, by its sync markers."""
    marker = content[-16:]
    ends, at = [], content.find(marker)
    while at >= 0:
        ends.append(at + len(marker))
        at = content.find(marker, at + 1)
    return ends


@pytest.mark.integration
def test_over_a_real_server_judged_by_others(seaweed_s3: S3Client, capsys: Capture) -> None:
    """What verify says of a real server's objects, before and after fastavro has changed one cell of one of them."""
    for name in ("a", "b"):
        put(seaweed_s3, DAY, f"in/{name}.csv")
    assert call(capsys, "convert", IN, OUT, *SETTINGS).code == 0
    assert verify(capsys, IN, OUT).json["objects"]["verified"] == 2
    objects = standing(seaweed_s3)
    assert read_all(objects["processed/a.avro"]) == read_all(objects["processed/b.avro"])
    reader: Any = fastavro.reader(io.BytesIO(objects["processed/b.avro"]))
    records = list(reader)
    records[2]["special"] = struct.unpack("<d", struct.pack("<d", float("inf")))[0]
    content = io.BytesIO()
    fastavro.writer(content, reader.writer_schema, records, codec="snappy")
    put_output(seaweed_s3, "processed/b.avro", content.getvalue())
    ended = verify(capsys, IN, OUT)
    assert [one["outcome"] for one in ended.json["results"]] == ["verified", "different"]
    assert ended.json["results"][1]["differences"] == [
        {"output": "avro", "record": 4, "column": "special", "source": "-inf", "value": "inf"}
    ]
