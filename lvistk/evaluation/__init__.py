"""LVIS metrics without torch: kernels, breakdowns, reports."""
