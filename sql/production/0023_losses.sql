-- Times of which production has not what a gatherer recorded, and the gatherer has it no more: production was put back to
-- an earlier state, or made anew, after the gatherer had been told that its rows are safe.
CREATE TABLE gatherer_losses (
    loss_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gatherer TEXT COLLATE "C" NOT NULL,
    table_name TEXT COLLATE "C" NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ NOT NULL,
    noticed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (gatherer, table_name, started_at, ended_at), -- each shard notices it
    CHECK (started_at < ended_at)
);

CREATE TRIGGER judge_again_after_insert AFTER INSERT ON gatherer_losses
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    -- Of books until the next snapshot: app/coverage/journals.py
    'SELECT started_at, ended_at + INTERVAL ''6 hours'' FROM added'
);

-- A loss of one gatherer counts, though another one may have brought the rows.
CREATE OR REPLACE FUNCTION complete_since(the_table TEXT, moment TIMESTAMPTZ) RETURNS TIMESTAMPTZ
LANGUAGE sql STABLE AS $$
    SELECT greatest(
        dropped_through, (SELECT max(ended_at) FROM gatherer_losses WHERE table_name = the_table AND started_at < moment)
    )
    FROM chunked_tables WHERE table_name = the_table
$$;
