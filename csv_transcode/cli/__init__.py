"""The command line: a module a verb, what they share in ``call``, ``options``, ``sources`` and ``screen``."""
