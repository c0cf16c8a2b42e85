"""What can be wrong with a mask, as codes that compiled code returns, and the limits behind them.

Codes 3 to 8 are evaluation's: what is wrong with the other fields of a record.
"""

OK = 0
BAD_COUNTS = 1
"""Counts that are no COCO RLE, or do not fill height x width."""
BAD_POLYGON = 2
"""Fewer than three points, an odd number of coordinates, or coordinates beyond any image."""
TOO_LARGE = 9
"""A mask of more than ``MOST_PIXELS``."""
COORDINATE_LIMIT = 1e6
"""Polygon coordinates farther out than this (pixels) are refused: rasterising walks along every edge."""
MOST_PIXELS = 2**32 - 1
"""Pixels of the largest mask: spans hold pixel numbers as uint32, as COCO's C code does."""
