"""Where a row came in, for what came in by no connection or carried no number."""

# A message of the older wire that carries no seq.
NO_SEQ = -1
# conn, sid and seq of what REST answered.
FROM_REST = (-1, -1, -1)
