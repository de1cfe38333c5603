"""What people do with dead letters: they look at them, ask what was wrong, and send the events again."""
