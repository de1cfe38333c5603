"""What an auditor asks: is the record whole, what hangs together, what is there to know of a model."""
