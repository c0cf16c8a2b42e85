"""What a box head predicts about categories: one module for each kind of classifier."""
