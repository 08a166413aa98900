"""What the processes count, one file per component; its name, labels and description stand in README.md.

A label never carries a ticker.
"""
