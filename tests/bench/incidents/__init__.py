"""``make bench-incidents``: what reaches people, how often, and whether the promise about false incidents is kept."""
