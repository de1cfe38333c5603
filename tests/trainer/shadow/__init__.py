"""The shadow: two models beside each other on live events."""
