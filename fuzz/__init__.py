"""Long runs that look for a record that is lost, changed or rejected in the wrong place: ``python -m fuzz``."""
