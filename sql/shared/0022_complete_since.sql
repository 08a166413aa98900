-- Since when a table has every row, up to a moment: rows from before may be missing.
CREATE FUNCTION complete_since(the_table TEXT, moment TIMESTAMPTZ) RETURNS TIMESTAMPTZ
LANGUAGE sql STABLE AS $$
    SELECT dropped_through FROM chunked_tables WHERE table_name = the_table
$$;
