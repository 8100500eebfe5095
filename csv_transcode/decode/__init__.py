"""Bytes of CSV → typed record batches, without I/O, threads or clocks.

compression.py, encoding.py, dialect.py   what the bytes are
records.py                                byte blocks cut at record ends; which of them Arrow may parse
strict.py                                 the careful scanner, for every other block and for naming what is wrong
texts.py                                  one column of strings as NumPy sees it
grammar.py                                contract section 4, value by value: slow, obvious, the last word
integers.py, numbers.py, moments.py, booleans.py     the same, a column at a time
inference.py                              evidence of a whole file → one type a column
casts.py                                  strings → typed columns
reader.py                                 all of it in order: a source's chunks → stripes → typed batches
"""
