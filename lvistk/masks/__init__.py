"""Masks as polygons, runs and bitmaps: read, rasterised, clipped, measured, pasted."""
