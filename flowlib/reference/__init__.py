"""What is normal under a model, slice by slice: means of event scores, shares, rates, and what is not known of them."""
