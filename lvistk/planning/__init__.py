"""A pipeline planned from what a data set and a machine are like: fingerprint, rules, the file."""
