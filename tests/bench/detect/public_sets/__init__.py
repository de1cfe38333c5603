"""Public sets with their own scorers."""
