"""How many examples hypothesis tries: some and always the same by default, many and new ones when asked.

make unit                                 few: a quarter of what `make test` tries
make test                                 fast
HYPOTHESIS_PROFILE=thorough make test     a hundred times as many, and other ones each time
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

MULTIPLES: Final = {"few": 0.125, "fast": 0.5, "thorough": 50}
PROFILE: Final = os.environ.get("HYPOTHESIS_PROFILE", "fast")

for _name in MULTIPLES:
    settings.register_profile(
        _name,
        deadline=None,  # no test asserts on time
        derandomize=_name != "thorough",
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def examples(count: int) -> settings:
    """Return settings for ``count`` examples, or the multiple of it that the profile asks for."""
    return settings(settings.get_profile(PROFILE), max_examples=max(1, round(count * MULTIPLES[PROFILE])))
