"""Annotation files and images in, augmented samples and batches out."""
