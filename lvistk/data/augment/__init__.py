"""What is done to an image and its instances before training."""
