"""The dossier of a model: all there is to know of it, for people, and what of two standards it is evidence for."""
