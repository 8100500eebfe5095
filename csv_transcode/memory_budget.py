"""What the process may use, and how many threads, stripes, parts and objects at once that allows.

Nothing here decides a byte of an output: row groups, Avro blocks and stripes are constants. What can be fewer is what
is under way at a time. The figures are measured (ARCHITECTURE.md): upper estimates, but for two conversions that meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from msgspec import Struct

from csv_transcode.errors import LimitError, SettingsError

if TYPE_CHECKING:
    from csv_transcode.runtime import Runtime
    from csv_transcode.settings import Settings

MIB: Final = 1 << 20
PROCESS_BYTES: Final = 128 * MIB  # interpreter, Arrow, the SDK, threads: 105 to 120 MiB
CONVERSION_BYTES_MIN: Final = 2 * MIB
BYTES_A_SOURCE_BYTE: Final = 8  # text, strings, typed columns, Parquet and Avro of a source that fits one stripe
COMPRESSION_RATIO: Final = 10  # what a compressed source is taken for: 3 to 20 is usual
CONVERSION_BYTES_MAX: Final = 240 * MIB  # of a large one on two threads; two side by side seldom peak together
CONVERSION_BYTES_PEAK: Final = 288 * MIB  # and alone: lineitem takes 275 beside the process
BYTES_A_FURTHER_THREAD: Final = 80 * MIB  # one more stripe in flight, and Avro's work space
LEAN_BYTES: Final = 200 * MIB  # one thread, two stripes, the smallest parts: lineitem takes 190
CONVERSIONS_BYTES_LEAST: Final = 512 * MIB  # where there is as much: what all conversions together may take
CONVERSIONS_SIDE_BY_SIDE: Final = 2  # large ones; each keeps all threads busy by itself
CONVERSION_BYTES_USELESS: Final = 32 * MIB  # with less, hardly a file could be converted
PART_BYTES_USUAL: Final = 8 * MIB  # is in the figures above
PART_BYTES_LEAST: Final = 5 * MIB  # S3's own limit
PARTS_HELD: Final = 10  # by one conversion: two of the source, four of each output
PARTS_IN_FLIGHT: Final = 2  # of one output
RECORD_BYTES_USUAL: Final = 8 * MIB
BYTES_A_RECORD_BYTE: Final = 10  # what a record that is longer takes
BYTES_A_COLUMN: Final = 40 << 10  # of a table so wide that its columns are most of it: 35 KB measured
BYTES_A_WORKER: Final = 8 * MIB
CACHE_SHARE: Final = 4  # read_s3_file may keep a quarter of what is there for conversions
CACHE_BYTES_MAX: Final = 64 * MIB
COMPRESSED: Final = (".gz", ".bz2", ".xz", ".zst")


class MemoryBudget(Struct, frozen=True):
    """How much there is, and what follows. ``conversions_bytes`` is what is left beside the process itself.

    ``threads`` decode, and as many write row groups; ``window`` stripes are in flight; ``workers`` objects.
    """

    total_bytes: int
    conversions_bytes: int
    conversion_bytes_max: int
    threads: int
    window: int
    part_bytes: int
    parts_in_flight: int
    workers: int
    cache_bytes: int

    @classmethod
    def of(cls, settings: Settings, runtime: Runtime) -> Self:
        """Return the budget: MEMORY_BUDGET_MB, else the function's memory, else the machine's.

        SettingsError where it is too small for the settings.
        """
        told = settings.memory_budget_mb or settings.function_memory_mb
        total = told * MIB if told else runtime.memory_bytes()
        room = total - PROCESS_BYTES
        _require_enough(settings, total, room)
        threads = _threads(room, runtime.cores)
        conversion = _conversion_bytes_max(threads, lean=room < CONVERSION_BYTES_PEAK)
        spare = max(0, room - CONVERSION_BYTES_PEAK) // PARTS_HELD
        part = min(settings.part_bytes, PART_BYTES_USUAL + spare if room >= CONVERSION_BYTES_PEAK else PART_BYTES_LEAST)
        conversion += PARTS_HELD * max(0, part - PART_BYTES_USUAL)
        most = max(CONVERSIONS_BYTES_LEAST, CONVERSIONS_SIDE_BY_SIDE * conversion)
        return cls(
            total_bytes=total,
            conversions_bytes=min(room, most),
            conversion_bytes_max=conversion,
            threads=threads,
            window=threads + 1,
            part_bytes=part,
            parts_in_flight=PARTS_IN_FLIGHT if room >= CONVERSION_BYTES_PEAK else 1,
            workers=max(1, min(settings.max_workers, room // BYTES_A_WORKER)),
            cache_bytes=min(CACHE_BYTES_MAX, room // CACHE_SHARE),
        )

    @property
    def columns_max(self) -> int:
        """How many columns a table may have, converted alone."""
        return (self.total_bytes - PROCESS_BYTES) // BYTES_A_COLUMN

    def conversion_bytes(self, key: str, source_bytes: int, *, downloaded: bool = False) -> int:
        """Return an upper estimate of the memory that converting an object takes; ``downloaded``: it is held whole.

        LimitError where there is not as much, even for this object alone.
        """
        needed = self._needed(key, source_bytes, downloaded=downloaded)
        if needed > self.conversions_bytes:
            at_least = -(-(PROCESS_BYTES + needed) // MIB)
            message = (
                f"converting {source_bytes} bytes takes about {needed // MIB} MiB beside the process itself, of "
                f"{self.total_bytes // MIB} there are {self.conversions_bytes // MIB} for it: raise MEMORY_BUDGET_MB "
                f"or the function's memory to {at_least}{', or unset USE_WRANGLER' if downloaded else ''}"
            )
            raise LimitError(message)
        return needed

    def fits(self, key: str, source_bytes: int, *, downloaded: bool = False) -> bool:
        """Return whether there is enough for this object, at least alone."""
        return self._needed(key, source_bytes, downloaded=downloaded) <= self.conversions_bytes

    def _needed(self, key: str, source_bytes: int, *, downloaded: bool) -> int:
        text_bytes = source_bytes * (COMPRESSION_RATIO if key.lower().endswith(COMPRESSED) else 1)
        needed = min(CONVERSION_BYTES_MIN + BYTES_A_SOURCE_BYTE * text_bytes, self.conversion_bytes_max)
        return needed + (source_bytes if downloaded else 0)


def _threads(room: int, cores: int) -> int:
    """Return how many threads can decode, at most one a core, so that a large conversion fits."""
    further = max(0, room - CONVERSION_BYTES_PEAK) // BYTES_A_FURTHER_THREAD
    return min(cores, 2 + further) if room >= CONVERSION_BYTES_PEAK else 1


def _conversion_bytes_max(threads: int, *, lean: bool) -> int:
    return LEAN_BYTES if lean else CONVERSION_BYTES_MAX + BYTES_A_FURTHER_THREAD * max(0, threads - 2)


def _require_enough(settings: Settings, total: int, room: int) -> None:
    found = f"MEMORY_BUDGET_MB={total // MIB}" if settings.memory_budget_mb else f"{total // MIB} MiB of memory"
    least = PROCESS_BYTES + CONVERSION_BYTES_USELESS
    if total < least:
        message = (
            f"{found}: the process takes {PROCESS_BYTES // MIB} MiB before it converts anything; raise "
            f"MEMORY_BUDGET_MB or the function's memory to {least // MIB} at least, 512 for files of any size"
        )
        raise SettingsError(message)
    record_bytes = BYTES_A_RECORD_BYTE * (settings.max_record_bytes - RECORD_BYTES_USUAL)
    if record_bytes > room:
        message = (
            f"{found}: a record of MAX_RECORD_BYTES={settings.max_record_bytes} takes about {record_bytes // MIB} MiB, "
            f"and {room // MIB} are left beside the process; lower MAX_RECORD_BYTES, or raise MEMORY_BUDGET_MB or the "
            f"function's memory to {-(-(PROCESS_BYTES + record_bytes) // MIB)}"
        )
        raise SettingsError(message)
