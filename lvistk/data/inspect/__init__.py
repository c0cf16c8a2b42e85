"""What is wrong with a data set, listed and drawn."""
