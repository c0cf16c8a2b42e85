"""JSON of other people's tools: one lenient way in, for evaluation and for data alike.

``text``: a file as plain UTF-8 JSON, whatever its byte order mark, encoding or compression.
``faults``: where JSON stops making sense, in one line with line number, record and mend.
``mend``: a record whose values are written differently, as the record that was meant.
``segmentation``: the forms in which masks are written, as polygons or RLE.

Files and records in the usual form never come here: readers try them first as they are.
"""
