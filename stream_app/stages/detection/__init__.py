"""Evidence: what is unlike the reference of a model, slice by slice and pane by pane. WATCH and JUDGE use it."""
