"""Gates: a candidate goes on only where it passes all of them; their figures stand in the record either way.

Every gate says what it measured, how sure that is, what it was held against, and one sentence for people.
"""
