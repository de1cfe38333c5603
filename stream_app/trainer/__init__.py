"""The other process: it answers retrain requests with a promoted or refused model."""
