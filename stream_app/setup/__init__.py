"""From a sample of events to a configuration, and from a configuration to what is wrong with it."""
