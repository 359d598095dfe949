"""Everything that reads or writes FiftyOne datasets; the only part of the package that imports it."""
