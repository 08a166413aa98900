-- Up to where a table's rows were read by everybody who reads it in the order of arrival: the lake that production is
-- bound to, if it is. Where there is none, nobody waits.
CREATE FUNCTION read_through(the_table TEXT) RETURNS BIGINT
LANGUAGE sql STABLE AS $$
    SELECT coalesce(min(coalesce(read.ingest_id, 0)), 9223372036854775807)
    FROM lakes
    LEFT JOIN export_cursors AS read ON read.lake_id = lakes.lake_id AND read.table_name = the_table
    WHERE lakes.bound_at IS NOT NULL;
$$;
