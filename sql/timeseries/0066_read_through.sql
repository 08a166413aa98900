-- Up to where a table's rows were read by everybody who reads it in the order of arrival: every production that confirms,
-- but those that the gatherer was told to forget.
CREATE FUNCTION read_through(the_table TEXT) RETURNS BIGINT
LANGUAGE sql STABLE AS $$
    SELECT coalesce(min(coalesce(ingest_id, 0)), 0)
    FROM (SELECT DISTINCT production FROM confirmations) AS known
    LEFT JOIN (SELECT * FROM confirmations WHERE table_name = the_table) AS confirmed USING (production);
$$;
