class UnfitMessageError(ValueError):
    """A message says what no row can hold exactly: nothing is rounded or guessed, its frame goes to quarantine."""
