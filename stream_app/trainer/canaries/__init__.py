"""Canaries: events of incidents that people have confirmed, which no later model may take for normal unseen."""
