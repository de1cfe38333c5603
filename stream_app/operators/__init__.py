"""What people do: they look at incidents, and answer with actions that their key has signed."""
