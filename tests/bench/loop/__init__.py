"""``make bench-loop``: whether a model enters service only when it is better, and leaves when it is not."""
