"""One HTML page about runs: what it shows, gathered, drawn and put together."""
