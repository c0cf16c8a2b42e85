"""Pipeline files: read, run, shared, resumed; projects, ladders and what Snakemake needs."""
