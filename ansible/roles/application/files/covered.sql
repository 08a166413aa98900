SELECT
    NOT EXISTS (SELECT FROM gaps WHERE ended_at IS NULL AND run_id = (SELECT max(run_id) FROM runs))
    AND NOT EXISTS (
        SELECT FROM json_each_text(':written') AS written
        WHERE written.value::BIGINT > coalesce(
            (SELECT min(ingest_id) FROM confirmations WHERE table_name = written.key), 0
        )
    )
