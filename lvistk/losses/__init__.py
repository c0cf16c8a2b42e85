"""Pure loss functions, one idea a file."""
