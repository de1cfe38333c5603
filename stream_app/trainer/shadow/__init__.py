"""The shadow: a candidate and the model in service score the live topic side by side, without any effect."""
