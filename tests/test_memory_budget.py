"""How much runs at once in how much memory; and that what comes out does not depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec.structs import replace

from csv_transcode.errors import LimitError, SettingsError
from csv_transcode.memory_budget import MIB, PROCESS_BYTES, MemoryBudget
from csv_transcode.report import Outcome
from csv_transcode.runtime import Runtime
from csv_transcode.settings import Settings
from s3_data_processor import S3DataProcessor
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.s3.faults import operations, record
from tests.standing import KEY, inline_runtime, processor, put, settings, standing

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

GIB: Final = 1024
MACHINE_MIB: Final = 16 * GIB


def budget(mib: int | None, cores: int = 2, machine_mib: int = MACHINE_MIB, **overrides: Any) -> MemoryBudget:
    runtime = Runtime(cores=cores, memory_bytes=lambda: machine_mib * MIB)
    return MemoryBudget.of(settings(memory_budget_mb=mib, **overrides), runtime)


class TestTotal:
    @pytest.mark.parametrize(
        ("given", "function", "mib"),
        [(None, None, MACHINE_MIB), (None, 512, 512), (300, None, 300), (300, 512, 300), (2048, 512, 2048)],
        ids=["the machine's", "the function's", "the setting", "the setting before all", "even a larger one"],
    )
    def test_is_the_setting_or_the_function_s_or_the_machine_s(
        self, given: int | None, function: int | None, mib: int
    ) -> None:
        made = {"INPUT_BUCKET": INPUT_BUCKET, "OUTPUT_BUCKET": OUTPUT_BUCKET}
        made |= {"MEMORY_BUDGET_MB": str(given)} if given else {}
        made |= {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function)} if function else {}
        runtime = Runtime(memory_bytes=lambda: MACHINE_MIB * MIB)
        assert MemoryBudget.of(Settings.from_mapping(made), runtime).total_bytes == mib * MIB


class TestSizes:
    @pytest.mark.parametrize(
        ("mib", "cores", "threads", "window", "part_mib", "parts", "workers", "large", "all_mib"),
        [
            (160, 2, 1, 2, 5, 1, 4, 200, 32),
            (384, 2, 1, 2, 5, 1, 20, 200, 256),
            (512, 2, 2, 3, 8, 2, 20, 240, 384),
            (2048, 2, 2, 3, 8, 2, 20, 240, 512),
            (2048, 1, 1, 2, 8, 2, 20, 240, 512),
            (10240, 6, 6, 7, 8, 2, 20, 560, 1120),
            (512, 6, 3, 4, 8, 2, 20, 320, 384),
            (416, 6, 2, 3, 8, 2, 20, 240, 288),
        ],
    )
    def test_follow_the_budget(
        self,
        *,
        mib: int,
        cores: int,
        threads: int,
        window: int,
        part_mib: int,
        parts: int,
        workers: int,
        large: int,
        all_mib: int,
    ) -> None:
        made = budget(mib, cores)
        assert (made.threads, made.window, made.workers) == (threads, window, workers)
        assert (made.part_bytes, made.parts_in_flight) == (part_mib * MIB, parts)
        assert (made.conversion_bytes_max, made.conversions_bytes) == (large * MIB, all_mib * MIB)

    @pytest.mark.parametrize("cores", [1, 2, 4, 6, 64])
    def test_only_grow_with_it_and_never_exceed_it(self, cores: int) -> None:
        made = [budget(mib, cores) for mib in range(160, 12_000, 40)]
        for name in ("threads", "window", "part_bytes", "parts_in_flight", "workers", "conversions_bytes"):
            values = [getattr(one, name) for one in made]
            assert values == sorted(values), name
        assert all(one.conversions_bytes + PROCESS_BYTES <= one.total_bytes for one in made)
        assert made[-1].threads == min(cores, 64)

    def test_two_large_ones_go_side_by_side_where_there_is_memory_for_both(self) -> None:
        for mib, side_by_side in [(512, 1), (640, 2), (2048, 2), (10_000, 2)]:
            made = budget(mib)
            assert made.conversions_bytes // made.conversion_bytes_max == side_by_side

    def test_large_parts_are_cut_down_to_what_there_is(self) -> None:
        parts = [budget(mib, part_bytes=64 * MIB).part_bytes // MIB for mib in (384, 512, 800, 2048)]
        assert parts == [5, 17, 46, 64]
        assert budget(2048, part_bytes=64 * MIB).conversion_bytes_max == (240 + 10 * 56) * MIB


class TestEstimate:
    def test_grows_with_the_source_up_to_a_maximum(self) -> None:
        made = budget(2048)
        estimates = [made.conversion_bytes("a.csv", size) for size in (0, 1, 1 << 20, 1 << 24, 1 << 30, 1 << 40)]
        assert estimates == sorted(estimates)
        assert estimates[0] > 0
        assert estimates[-1] == made.conversion_bytes_max
        assert 20 * made.conversion_bytes("a.csv", 100_000) < made.conversions_bytes

    @pytest.mark.parametrize("name", ["a.csv.gz", "a.CSV.GZ", "a.csv.bz2", "a.csv.xz", "a.csv.zst"])
    def test_of_a_compressed_source_is_that_of_its_text(self, name: str) -> None:
        made = budget(2048)
        assert made.conversion_bytes(name, 100_000) == made.conversion_bytes("a.csv", 1_000_000)

    def test_of_what_is_held_whole_has_that_too(self) -> None:
        made = budget(2048)
        assert made.conversion_bytes("a.csv", 77, downloaded=True) == made.conversion_bytes("a.csv", 77) + 77

    @pytest.mark.parametrize(
        ("mib", "size", "downloaded", "message"),
        [
            (256, 1 << 40, False, "takes about 200 MiB beside the process itself, of 256 there are 128 for it"),
            (256, 1 << 40, False, "raise MEMORY_BUDGET_MB or the function's memory to 328$"),
            (256, 16 << 20, False, "converting 16777216 bytes takes about 130 MiB"),
            (512, 150 << 20, True, "the function's memory to 518, or unset USE_WRANGLER$"),
        ],
    )
    def test_that_is_more_than_there_is_names_what_to_set(
        self, mib: int, size: int, *, downloaded: bool, message: str
    ) -> None:
        made = budget(mib)
        assert not made.fits("a.csv", size, downloaded=downloaded)
        with pytest.raises(LimitError, match=message):
            made.conversion_bytes("a.csv", size, downloaded=downloaded)

    def test_anything_fits_from_where_the_message_says(self) -> None:
        assert not budget(327).fits("a.csv", 1 << 40)
        assert budget(328).fits("a.csv", 1 << 40)


class TestTooSmall:
    @pytest.mark.parametrize(
        ("mib", "overrides", "message"),
        [
            (128, {}, "MEMORY_BUDGET_MB=128: the process takes 128 MiB before .* MEMORY_BUDGET_MB .* to 160 at least"),
            (159, {}, "MEMORY_BUDGET_MB=159: the process"),
            (
                *(512, {"max_record_bytes": 64 * MIB}),
                r"MEMORY_BUDGET_MB=512: a record of MAX_RECORD_BYTES=67108864 takes about 560 MiB, .* to 688$",
            ),
        ],
    )
    def test_is_refused_at_start_with_what_to_set(self, mib: int, overrides: dict[str, Any], message: str) -> None:
        with pytest.raises(SettingsError, match=message):
            S3DataProcessor.from_settings(settings(memory_budget_mb=mib, **overrides))

    def test_is_refused_whoever_says_how_much_there_is(self) -> None:
        with pytest.raises(SettingsError, match="100 MiB of memory: the process takes 128"):
            budget(None, machine_mib=100)

    def test_is_not_what_the_messages_ask_for(self) -> None:
        budget(160)
        budget(688, max_record_bytes=64 * MIB)


class TestConversion:
    @pytest.mark.long
    @pytest.mark.parametrize("mib", [160, 300, 512, 2048])
    def test_no_byte_depends_on_the_budget(self, s3: S3Client, mib: int) -> None:
        put(s3, b"id,text\n" + b"".join(b"%d,%d\n" % (number, number**3) for number in range(50_000)) + b"x\n")
        made: list[dict[str, bytes]] = []
        for given in (None, mib):
            with processor(s3, memory_budget_mb=given) as converting:
                (result,) = converting.run(force=True).results
            assert result.outcome is Outcome.CONVERTED
            made.append({key: body for key, body in standing(s3).items() if "_manifests" not in key})
        assert made[0] == made[1]
        assert len(made[0]) == 3

    def test_one_that_cannot_fit_alone_fails_and_is_not_read(self, s3: S3Client) -> None:
        put(s3, b"id\n" + b"1234567\n" * 1_000_000)
        sent = record(s3)
        with processor(s3, memory_budget_mb=160) as made:
            (result,) = made.run().results
        assert (result.outcome, result.retryable) == (Outcome.FAILED, False)
        assert result.reason is not None
        assert "raise MEMORY_BUDGET_MB" in result.reason
        assert operations(sent) == ["ListObjectsV2", "GetObject", "HeadObject", "PutObject"]
        assert list(standing(s3)) == ["processed/_failed/day.csv.json"]

    def test_what_an_event_says_of_the_size_refuses_nothing(self, s3: S3Client) -> None:
        put(s3, b"id\n1\n")
        with processor(s3, memory_budget_mb=160) as made:
            assert made.convert({"Key": KEY, "Size": 1 << 40}).outcome is Outcome.CONVERTED

    def test_one_that_is_larger_than_an_event_says_is_admitted_as_what_it_is(self, s3: S3Client) -> None:
        put(s3, b"id\n" + b"1234567\n" * 1_000_000)
        with processor(s3, memory_budget_mb=160) as made:
            result = made.convert({"Key": KEY, "Size": 6})
            assert made._machinery.converter._at.gate._taken == 0
        assert result.outcome is Outcome.FAILED
        assert "raise MEMORY_BUDGET_MB" in str(result.reason)

    def test_pools_and_gate_are_as_large_as_it_allows(self, s3: S3Client) -> None:
        asked: dict[str, int] = {}

        def executor(threads_max: int, name: str) -> Any:
            asked[name] = threads_max
            return inline_runtime().executor(threads_max, name)

        put(s3, b"id\n1\n")
        with processor(s3, replace(inline_runtime(), executor=executor, cores=4), memory_budget_mb=160) as made:
            made.run()
        assert asked == {"object": 4, "io": 12, "decode": 1, "encode": 1}


class TestColumns:
    @pytest.mark.parametrize(("mib", "columns"), [(512, 9_830), (2048, 49_152), (160, 819)])
    def test_there_is_room_for(self, mib: int, columns: int) -> None:
        assert budget(mib).columns_max == columns

    def test_more_of_them_are_refused_with_what_to_raise(self, s3: S3Client) -> None:
        names, cells = (",".join(f"{letter}{number}" for number in range(820)) for letter in "cv")
        put(s3, f"{names}\n{cells}\n")
        with processor(s3, inline_runtime(), memory_budget_mb=160) as made:
            result = made.convert(KEY)
        assert result.outcome is Outcome.FAILED
        assert result.reason == (
            "the header has 820 columns, and there is memory for about 819: raise MEMORY_BUDGET_MB or the function's "
            "memory"
        )
        assert not result.retryable
