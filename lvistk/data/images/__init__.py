"""Image files: decoded, measured, judged whole."""
