"""How far it is from a file or a topic that nobody prepared to the first incident in a sentence."""
