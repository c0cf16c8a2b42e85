"""Annotation files and photos in, augmented samples and batches out."""
