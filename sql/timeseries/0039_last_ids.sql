-- The last ingest_id that a table gave out, also where its rows are gone: an earlier state of the database has given out
-- fewer. Who reads tables need not be allowed to read their sequences.
CREATE FUNCTION last_id_given(the_table TEXT) RETURNS BIGINT
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    last BIGINT;
BEGIN
    EXECUTE format(
        'SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM %s',
        pg_get_serial_sequence(the_table, 'ingest_id')
    ) INTO last;
    RETURN last;
END
$$;
