"""Truth and results from files, in blocks, checked record by record."""
