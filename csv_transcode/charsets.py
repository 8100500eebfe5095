"""The names of character encodings."""

from __future__ import annotations

import codecs
from typing import Final

# Codecs that are no character sets, though Python says that they give text.
_NO_CHARACTER_SETS: Final = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})


def canonical_name(name: str) -> str | None:
    """Return Python's own name of the character encoding ``name``, or None where there is none of that name."""
    try:
        info = codecs.lookup(name.strip())
    except (LookupError, ValueError):
        return None
    found = {"utf-8-sig": "utf-8"}.get(info.name, info.name)
    is_text = getattr(info, "_is_text_encoding", True)
    return found if is_text and found.replace("_", "-") not in _NO_CHARACTER_SETS else None
