"""One module per command; each reads artifacts and writes artifacts."""
