"""Named data sets, peers side by side, one runner: every output is read back before its time is told."""
