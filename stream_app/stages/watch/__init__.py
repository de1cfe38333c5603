"""WATCH: partials of one partials partition in; windows, and evidence for JUDGE, out."""
