"""Folders of images without annotations, such as Open Images."""
