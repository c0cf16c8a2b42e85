"""LVIS annotation files as flat, memory-mapped arrays."""
