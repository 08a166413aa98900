-- Who reads on in the order of arrival looks for ids. Compressed rows have no index; where TimescaleDB can note the least
-- and the greatest id of each batch, it need not open every batch there is. That holds for chunks compressed from now on.
DO $$
DECLARE
    the_table TEXT;
BEGIN
    IF NOT timescaledb_is_usable() OR current_setting('timescaledb.license', TRUE) IS DISTINCT FROM 'timescale' THEN
        RETURN;
    END IF;
    FOR the_table IN SELECT table_name FROM chunked_tables WHERE strategy = 'hypertable' LOOP
        BEGIN
            EXECUTE format('ALTER TABLE %I SET (timescaledb.sparse_index = %L)', the_table, 'minmax("ingest_id")');
        EXCEPTION WHEN invalid_parameter_value OR undefined_object OR feature_not_supported OR syntax_error THEN
            RAISE NOTICE 'this TimescaleDB cannot index ids of compressed rows: %', SQLERRM;
        END;
    END LOOP;
END
$$;
