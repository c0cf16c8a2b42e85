"""What can be wrong with a mask, as codes that compiled readers return; 0 is a sound mask."""

OK = 0
BAD_COUNTS = 1
"""Counts that are no COCO RLE, or do not fill height x width."""
BAD_POLYGON = 2
"""Fewer than three points, an odd number of coordinates, or coordinates beyond any image."""
COORDINATE_LIMIT = 1e6
"""Polygon coordinates farther out than this are refused: rasterising walks along every edge."""
