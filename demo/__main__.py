"""``make demo``: deploy the product to an AWS on this machine, convert real files, and compare every cell."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from demo import data, deploy, server
from demo.screen import arrivals_table, console
from demo.stack import Aws
from demo.verdict import judge, read_outputs
from demo.verify import read_parquet
from demo.watch import Arrival, convert

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from demo.screen import Show

SHOWN_FILE: Final = "iowa-electricity.csv"
SHOWN_RECORDS: Final = 5
LOG_LINES: Final = 20

NEXT: Final = """
Where to look next
  README.md                          what is guaranteed, what is refused, every setting
  ARCHITECTURE.md                    one object's life, from the bytes to the manifest
  infra_setup.md                     the same template in an account of your own
  python -m csv_transcode convert SOURCE TARGET
                                     your own file, here and now (in .venv/bin)
"""


def main() -> int:
    """Run the demo; 0 when every file has arrived in both formats and agrees with its source."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=50, help="size of the generated file (default: 50)")
    large_bytes = parser.parse_args().megabytes * 1_000_000
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: sys.exit("stopped"))  # so that the server is ended then, too
    started = time.monotonic()
    with TemporaryDirectory(prefix="csv-transcode-demo-") as name:
        folder = Path(name)
        with server.running(folder) as url:
            aws = Aws(url)
            s3 = aws.client("s3")
            arrivals = [Arrival(source) for source in data.sources(large_bytes)]
            stack = deploy.deploy(aws)
            console.print(
                f"Deployed infra/template.yaml to MiniStack at {url}: {len(stack.resources)} resources.\n"
                f"S3, EventBridge, SQS, Lambda: s3://{deploy.INPUT_BUCKET}/{deploy.PREFIX} gets {len(arrivals)} files."
            )
            with arrivals_table() as show:
                convert(s3, arrivals, show)
                _compare(s3, arrivals, show)
            _show_one(s3, arrivals)
            _conclude(arrivals, folder / server.LOG_NAME)
    console.print(f"{time.monotonic() - started:.0f} seconds, everything taken down again.")
    return exit_code(arrivals)


def exit_code(arrivals: list[Arrival]) -> int:
    """Return 0 when every source arrived in both formats and agrees with them, else 1."""
    return 0 if all(arrival.cells_agreeing is not None for arrival in arrivals) else 1


def _compare(s3: S3Client, arrivals: list[Arrival], show: Show) -> None:
    for arrival in arrivals:
        if arrival.manifest is not None:
            judge(s3, arrival)
            show(arrivals)


def _show_one(s3: S3Client, arrivals: list[Arrival]) -> None:
    shown = next((arrival for arrival in arrivals if arrival.source.name == SHOWN_FILE), None)
    if shown is None or shown.manifest is None:
        return
    table = read_parquet(read_outputs(s3, shown.manifest)["parquet"])
    console.print(f"\n{SHOWN_FILE} as Parquet: the schema, the first records", style="bold")
    console.print(table.schema.to_string(show_schema_metadata=False), markup=False)
    for record in table.slice(0, SHOWN_RECORDS).to_pylist():
        console.print("  ".join(f"{name}={value}" for name, value in record.items()), markup=False)
    console.print("\nand its manifest, the commit record", style="bold")
    console.print(_by_entry(shown.manifest), markup=False)


def _by_entry(manifest: dict[str, Any]) -> str:
    """Return a manifest as JSON that fits on a screen: a line for every entry, and for every item of a list."""
    entries = []
    for name, value in manifest.items():
        items = [json.dumps(item, ensure_ascii=False) for item in value] if isinstance(value, list) else []
        text = "[\n    " + ",\n    ".join(items) + "\n  ]" if items else json.dumps(value, ensure_ascii=False)
        entries.append(f'  "{name}": {text}')
    return "{\n" + ",\n".join(entries) + "\n}"


def _conclude(arrivals: list[Arrival], log: Path) -> None:
    wrong = [arrival for arrival in arrivals if arrival.cells_agreeing is None]
    for arrival in wrong:
        console.print(
            f"FAILED  {arrival.source.name}: {arrival.refusal or arrival.difference}", style="red", markup=False
        )
    if wrong:
        console.print(
            "The end of the server's log:",
            *log.read_text(errors="replace").splitlines()[-LOG_LINES:],
            sep="\n",
            markup=False,
        )
    else:
        console.print(f"\nAll {len(arrivals)} files: source = Parquet = Avro, cell by cell.", style="green")
        console.print(NEXT)


if __name__ == "__main__":
    sys.exit(main())
