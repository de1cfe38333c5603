"""WATCH: partials of one partials partition in; windows, alerts and retrain requests out."""
