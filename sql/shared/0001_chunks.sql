-- Chunks: how a growing table is kept in pieces of time that can be dropped whole.
-- This is the one place that decides between TimescaleDB's hypertables and PostgreSQL's own partitions.

CREATE TABLE chunked_tables (
    table_name TEXT PRIMARY KEY,
    time_column TEXT NOT NULL,
    chunk_interval INTERVAL NOT NULL,
    compress_after INTERVAL NOT NULL,
    keep_for INTERVAL, -- NULL: for ever
    strategy TEXT NOT NULL CHECK (strategy IN ('hypertable', 'partitions')),
    dropped_through TIMESTAMPTZ NOT NULL DEFAULT '-infinity' -- up to here rows may be missing, since chunks were dropped
);

CREATE FUNCTION timescaledb_is_usable() RETURNS BOOLEAN
LANGUAGE sql STABLE AS $$
    -- pg_settings leaves out what this role may not see, where current_setting() would fail.
    SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')
        OR (
            EXISTS (SELECT FROM pg_settings WHERE name = 'shared_preload_libraries' AND setting ~ '\mtimescaledb\M')
            AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
        );
$$;

-- Turns an empty plain table into a chunked one.
CREATE FUNCTION keep_in_chunks(
    the_table TEXT, the_time_column TEXT, the_chunk_interval INTERVAL, the_compress_after INTERVAL,
    the_keep_for INTERVAL, compress_order TEXT
) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    usable BOOLEAN := timescaledb_is_usable();
BEGIN
    INSERT INTO chunked_tables (
        table_name, time_column, chunk_interval, compress_after, keep_for, strategy
    ) VALUES (
        the_table, the_time_column, the_chunk_interval, the_compress_after, the_keep_for,
        CASE WHEN usable THEN 'hypertable' ELSE 'partitions' END
    );
    IF usable THEN
        PERFORM become_hypertable(the_table, the_time_column, the_chunk_interval, compress_order);
    ELSE
        PERFORM become_partitioned(the_table, the_time_column);
    END IF;
END
$$;

CREATE FUNCTION become_hypertable(
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
        EXECUTE format(
            'ALTER TABLE %I SET (timescaledb.compress, timescaledb.compress_segmentby = %L, timescaledb.compress_orderby = %L)',
            the_table, 'ticker', compress_order
        );
    END IF;
END
$$;

CREATE FUNCTION become_partitioned(the_table TEXT, the_time_column TEXT) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    template TEXT := the_table || '_template';
BEGIN
    EXECUTE format('ALTER TABLE %I RENAME TO %I', the_table, template);
    EXECUTE format(
        'CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY RANGE (%I)', the_table, template, the_time_column
    );
    EXECUTE format('DROP TABLE %I', template);
END
$$;

-- A time outside of two centuries is a broken one (milliseconds read as seconds, say), and must not become a chunk.
CREATE FUNCTION is_plausible(moment TIMESTAMPTZ) RETURNS BOOLEAN
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN moment >= TIMESTAMPTZ '2000-01-01 00:00:00+00' AND moment < TIMESTAMPTZ '2200-01-01 00:00:00+00';

-- Makes room for one moment. True when there was none. Hypertables make their own.
CREATE FUNCTION ensure_chunk(the_table TEXT, moment TIMESTAMPTZ) RETURNS BOOLEAN
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    chunked chunked_tables;
    lower_bound TIMESTAMPTZ;
    chunk TEXT;
BEGIN
    SELECT * INTO STRICT chunked FROM chunked_tables WHERE table_name = the_table;
    IF chunked.strategy = 'hypertable' OR NOT is_plausible(moment) THEN
        RETURN FALSE;
    END IF;
    lower_bound := date_bin(chunked.chunk_interval, moment, TIMESTAMPTZ '2000-01-01 00:00:00+00');
    chunk := the_table || to_char(lower_bound, '"_"YYYYMMDD"_"HH24MI');
    IF to_regclass(chunk) IS NOT NULL THEN
        RETURN FALSE;
    END IF;
    -- Two writers may need the same new chunk at once.
    PERFORM pg_advisory_xact_lock(hashtextextended('ensure_chunk ' || the_table, 0));
    -- Not to_regclass again: this session may not have heard yet what another one made while we waited.
    IF EXISTS (SELECT FROM pg_class WHERE relname = chunk AND relnamespace = current_schema()::REGNAMESPACE) THEN
        RETURN FALSE;
    END IF;
    -- CREATE ... PARTITION OF would wait for every reader and writer of the table, and they for it; ATTACH does not.
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL EXCLUDING IDENTITY)', chunk, the_table);
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        the_table, chunk, lower_bound, lower_bound + chunked.chunk_interval
    );
    RETURN TRUE;
END
$$;

-- Makes room from one moment to another; how many chunks that took.
CREATE FUNCTION ensure_chunks(the_table TEXT, first_moment TIMESTAMPTZ, last_moment TIMESTAMPTZ) RETURNS BIGINT
LANGUAGE sql SET timezone = 'UTC' AS $$
    SELECT count(*) FILTER (WHERE ensure_chunk(the_table, moment))
    FROM chunked_tables, generate_series(first_moment, last_moment, chunk_interval) AS moment
    WHERE table_name = the_table;
$$;

-- Every chunk of a table, oldest first.
CREATE FUNCTION chunks(the_table TEXT)
RETURNS TABLE (chunk TEXT, range_start TIMESTAMPTZ, range_end TIMESTAMPTZ, bytes BIGINT, is_compressed BOOLEAN)
LANGUAGE plpgsql STABLE SET timezone = 'UTC' AS $$
BEGIN
    IF (SELECT strategy FROM chunked_tables WHERE table_name = the_table) = 'hypertable' THEN
        RETURN QUERY
        SELECT format('%I.%I', c.chunk_schema, c.chunk_name), c.range_start, c.range_end, coalesce(s.total_bytes, 0), c.is_compressed
        FROM timescaledb_information.chunks AS c
        JOIN chunks_detailed_size(the_table::REGCLASS) AS s USING (chunk_schema, chunk_name)
        WHERE c.hypertable_name = the_table
        ORDER BY c.range_start;
    ELSE
        RETURN QUERY
        SELECT
            p.name, (p.bounds)[1]::TIMESTAMPTZ, (p.bounds)[2]::TIMESTAMPTZ, coalesce(pg_total_relation_size(p.oid), 0), FALSE
        FROM (
            SELECT
                c.oid, c.oid::REGCLASS::TEXT AS name,
                regexp_match(pg_get_expr(c.relpartbound, c.oid), $re$FROM \('(.+)'\) TO \('(.+)'\)$re$) AS bounds
            FROM pg_inherits AS i
            JOIN pg_class AS c ON c.oid = i.inhrelid
            WHERE i.inhparent = the_table::REGCLASS
        ) AS p
        ORDER BY 2;
    END IF;
END
$$;

-- Drops one chunk that chunks() listed, if nothing came after the row that the caller has seen last in it.
-- Waits for the chunk's readers no longer than the session's lock_timeout.
CREATE FUNCTION drop_chunk(the_table TEXT, the_range_start TIMESTAMPTZ, last_ingest_id BIGINT) RETURNS BOOLEAN
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    doomed RECORD;
    has_newer BOOLEAN;
    is_hypertable BOOLEAN := strategy = 'hypertable' FROM chunked_tables WHERE table_name = the_table;
BEGIN
    SELECT * INTO STRICT doomed FROM chunks(the_table) AS c WHERE c.range_start = the_range_start;
    IF NOT is_hypertable THEN
        -- Whoever reads or writes locks the table first and its partitions then: the other way round is a deadlock.
        EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', the_table);
    END IF;
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', doomed.chunk);
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE ingest_id > %L)', doomed.chunk, last_ingest_id) INTO has_newer;
    IF has_newer THEN
        RETURN FALSE;
    END IF;
    IF is_hypertable THEN
        PERFORM drop_chunks(the_table::REGCLASS, older_than => doomed.range_end, newer_than => doomed.range_start);
    ELSE
        EXECUTE format('DROP TABLE %s', doomed.chunk);
    END IF;
    UPDATE chunked_tables SET dropped_through = greatest(dropped_through, doomed.range_end) WHERE table_name = the_table;
    RETURN TRUE;
END
$$;
