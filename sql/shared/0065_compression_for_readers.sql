-- Compression that costs readers in the order of arrival nothing. Compressed rows have no index by ingest_id, so whoever
-- has read beyond all of them leaves them out (app/store/compression.py), and has to know up to where they reach.
ALTER TABLE chunked_tables
ADD COLUMN compressed_through BIGINT NOT NULL DEFAULT 0, -- no compressed row has a greater ingest_id
ADD COLUMN compressed_until TIMESTAMPTZ NOT NULL DEFAULT '-infinity', -- nor a later time
ADD COLUMN compressions BIGINT NOT NULL DEFAULT 0, -- how often a chunk was compressed: who read meanwhile reads again
ADD COLUMN compress_read_after INTERVAL NOT NULL DEFAULT '7 days'; -- how old a chunk is compressed once it was read
-- An earlier release notes nothing when it compresses. It still runs here, and shall leave that alone.
UPDATE chunked_tables SET compress_read_after = compress_after, compress_after = '100 years';

-- A batch of compressed rows holds a thousand of them. By market it would hold the few that a market has in an hour, and
-- be larger than the rows; sorted by market it is full, and still found by market.
CREATE FUNCTION compress_by_market(the_table TEXT, the_time_column TEXT) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    -- Copies of a trade are found by its id alone.
    sparse TEXT := 'minmax("ingest_id")' || CASE the_table WHEN 'trades' THEN ', bloom("trade_id")' ELSE '' END;
BEGIN
    EXECUTE format(
        'ALTER TABLE %I SET (timescaledb.compress, timescaledb.compress_segmentby = '''', timescaledb.compress_orderby = %L)',
        the_table, format('ticker, %I', the_time_column)
    );
    BEGIN
        EXECUTE format('ALTER TABLE %I SET (timescaledb.sparse_index = %L)', the_table, sparse);
    EXCEPTION WHEN invalid_parameter_value OR undefined_object OR feature_not_supported OR syntax_error THEN
        RAISE NOTICE 'this TimescaleDB cannot index ids of compressed rows: %', SQLERRM;
    END;
END
$$;

-- As before 0065, but for how chunks are compressed. The last parameter says nothing any more.
CREATE OR REPLACE FUNCTION keep_in_chunks(
    the_table TEXT, the_time_column TEXT, the_chunk_interval INTERVAL, the_compress_after INTERVAL,
    the_keep_for INTERVAL, compress_order TEXT
) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    usable BOOLEAN := timescaledb_is_usable();
BEGIN
    INSERT INTO chunked_tables (
        table_name, time_column, chunk_interval, compress_after, compress_read_after, keep_for, strategy
    ) VALUES (
        the_table, the_time_column, the_chunk_interval, '100 years', the_compress_after, the_keep_for,
        CASE WHEN usable THEN 'hypertable' ELSE 'partitions' END
    );
    IF usable THEN
        PERFORM become_hypertable(the_table, the_time_column, the_chunk_interval, compress_order);
    ELSE
        PERFORM become_partitioned(the_table, the_time_column);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION become_hypertable(
    the_table TEXT, the_time_column TEXT, the_chunk_interval INTERVAL, compress_order TEXT
) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS timescaledb;
    PERFORM create_hypertable(
        the_table::REGCLASS, by_range(the_time_column::NAME, the_chunk_interval), create_default_indexes => FALSE
    );
    -- The Apache edition has no compression; everything else works there too.
    IF current_setting('timescaledb.license') = 'timescale' THEN
        PERFORM compress_by_market(the_table, the_time_column);
    END IF;
END
$$;

DO $$
DECLARE
    known RECORD;
BEGIN
    IF NOT timescaledb_is_usable() OR current_setting('timescaledb.license', TRUE) IS DISTINCT FROM 'timescale' THEN
        RETURN;
    END IF;
    FOR known IN SELECT table_name, time_column FROM chunked_tables WHERE strategy = 'hypertable' LOOP
        PERFORM compress_by_market(known.table_name, known.time_column);
        -- What was compressed before has its old form until it is compressed anew, and may reach up to the last row.
        UPDATE chunked_tables AS t SET
            compressions = 1, compressed_until = c.range_end,
            compressed_through = coalesce(pg_sequence_last_value(pg_get_serial_sequence(t.table_name, 'ingest_id')::REGCLASS), 0)
        FROM (
            SELECT max(range_end) AS range_end FROM timescaledb_information.chunks
            WHERE hypertable_name = known.table_name AND is_compressed
        ) AS c
        WHERE t.table_name = known.table_name AND c.range_end IS NOT NULL;
    END LOOP;
END
$$;

-- Whether rows came into a compressed chunk, and wait beside the compressed ones.
CREATE FUNCTION has_late_rows(chunk TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE AS $$
DECLARE
    has_rows BOOLEAN;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s)', chunk) INTO has_rows;
    RETURN has_rows;
END
$$;

-- Chunks of a hypertable that end by then and are not compressed as they should be: not at all, in an old form, or with
-- more than a tenth of their bytes in rows that came late. Oldest first.
CREATE FUNCTION chunks_to_compress(the_table TEXT, the_end TIMESTAMPTZ)
RETURNS TABLE (chunk TEXT, range_start TIMESTAMPTZ)
LANGUAGE plpgsql STABLE SET timezone = 'UTC' AS $$
BEGIN
    RETURN QUERY
    SELECT c.chunk, c.range_start
    FROM chunks(the_table) AS c
    LEFT JOIN timescaledb_information.chunk_compression_settings AS s ON s.chunk = c.chunk::REGCLASS
    WHERE c.range_end <= the_end AND CASE
        WHEN NOT c.is_compressed OR s.segmentby <> '' THEN TRUE
        -- What late rows took stays with the chunk for a while after they are gone.
        WHEN pg_relation_size(c.chunk::REGCLASS) > c.bytes / 10 THEN has_late_rows(c.chunk)
        ELSE FALSE
    END
    ORDER BY c.range_start;
END
$$;

-- Compresses one chunk that chunks_to_compress() listed, and notes up to where compressed rows reach. False: it is left as
-- it is, since it has rows beyond the_last, or the table's newest row, at which every reader looks.
CREATE FUNCTION compress_for_readers(the_table TEXT, the_range_start TIMESTAMPTZ, the_last BIGINT) RETURNS BOOLEAN
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    chosen RECORD;
    last BIGINT;
    has_newer BOOLEAN;
BEGIN
    SELECT * INTO STRICT chosen FROM chunks(the_table) AS c WHERE c.range_start = the_range_start;
    -- As compress_chunk() locks: nothing is written to the chunk between the look at its last row and the end.
    EXECUTE format('LOCK TABLE ONLY %I IN ACCESS SHARE MODE', the_table);
    EXECUTE format('LOCK TABLE %s IN EXCLUSIVE MODE', chosen.chunk);
    EXECUTE format('SELECT coalesce(max(ingest_id), 0) FROM %s', chosen.chunk) INTO last;
    PERFORM set_config('timescaledb.enable_columnarscan', 'off', TRUE);
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE ingest_id > %L)', the_table, last) INTO has_newer;
    PERFORM set_config('timescaledb.enable_columnarscan', 'on', TRUE);
    IF last > the_last OR NOT has_newer THEN
        RETURN FALSE;
    END IF;
    PERFORM compress_chunk(chosen.chunk::REGCLASS, if_not_compressed => TRUE, recompress => chosen.is_compressed);
    UPDATE chunked_tables SET
        compressed_through = greatest(compressed_through, last),
        compressed_until = greatest(compressed_until, chosen.range_end), compressions = compressions + 1
    WHERE table_name = the_table;
    RETURN TRUE;
END
$$;
