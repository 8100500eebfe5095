"""When the SDK repeats a request: by its own standard rules, with our clock, our chance, and a budget that can be set.

botocore draws its delays and sleeps through them by itself, and keeps a retry quota (every repetition costs, every
success earns) of which it lets nobody choose the size. Its own parts are put together here once more, with all three as
arguments; which answers are repeated, how often and after how long stays botocore's to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from csv_transcode.s3.delays import fraction

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from csv_transcode.runtime import Runtime

BUDGET: Final = 500  # botocore's own
_EVENT: Final = "needs-retry.s3"
_HANDLER_ID: Final = "retry-config-s3"  # under which botocore registers its handler of that event


def repeat_by(client: S3Client, runtime: Runtime, *, attempts_max: int, budget: int) -> None:
    """Let ``client`` send a request at most ``attempts_max`` times, waiting by ``runtime``.

    All its requests together spend ``budget``: 14 for a repetition, 5 for one after throttling. One that succeeds earns
    back what its last repetition cost, or 1. Where nothing is left, requests fail at once.
    """
    from botocore.retries import quota, standard  # noqa: PLC0415

    adapter = standard.RetryEventAdapter()
    throttling = standard.ThrottlingErrorDetector(adapter)
    spending = standard.RetryQuotaChecker(quota.RetryQuota(budget), throttling)
    backoff = standard.ExponentialBackoff(
        random=lambda: fraction(runtime), service_name="s3", throttling_detector=throttling
    )
    policy = standard.RetryPolicy(standard.StandardRetryConditions(attempts_max), backoff)
    handler = standard.RetryHandler(policy, adapter, spending, service_name="s3", sleep=runtime.sleep)

    def needs_retry(**event: Any) -> Any:  # noqa: ANN401 (botocore has no types)
        delay = handler.needs_retry(**event)
        if not delay:
            return delay
        runtime.sleep(delay)
        return 0  # seconds that are left for botocore to sleep

    client.meta.events.unregister(_EVENT, unique_id=_HANDLER_ID)
    client.meta.events.register(_EVENT, needs_retry, unique_id=_HANDLER_ID)
    client.meta.events.register("after-call.s3", spending.release_retry_quota)
