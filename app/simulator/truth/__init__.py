"""The ground truth: the exchange's own history, and what was sent of it on each connection."""
