"""Every setting of lvistk: frozen dataclasses, read from strict TOML and ``--set a.b=c``."""
