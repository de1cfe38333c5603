"""``make bench-detect``: what the statistics see and when, on planted streams, through the whole product."""
