-- squawk-ignore-file adding-field-with-default, require-concurrent-index-creation
-- Coverage claims what was judged and nothing else: what was learnt since, rows that were refused, and books that the
-- audit has disproved count until the next judgement, too.

-- Up to here what was judged of the hour holds, whatever else was learnt since. What is learnt can also be that more was
-- heard, which takes back no claim.
ALTER TABLE coverage_changes ADD COLUMN changed_since TIMESTAMPTZ;
UPDATE coverage_changes SET changed_since = hour;

-- Markets of which something was learnt that concerns them alone, in the order in which that was committed.
CREATE TABLE coverage_market_changes (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticker TEXT COLLATE "C" NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    until TIMESTAMPTZ NOT NULL
);
CREATE INDEX coverage_market_changes_ticker ON coverage_market_changes (ticker);

ALTER TABLE coverage_hours
ADD COLUMN judged_number BIGINT NOT NULL DEFAULT 0; -- of coverage_market_changes, the last that is judged

-- Hours before are judged no more, and of their books nothing is said: app/coverage/retention.py
CREATE TABLE coverage_horizon (
    only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    books_since TIMESTAMPTZ NOT NULL DEFAULT '-infinity'
);
INSERT INTO coverage_horizon DEFAULT VALUES;

-- Rows of gatherers that production refused: in quarantine they are not heard, unless another gatherer's copy was taken.
CREATE TABLE gatherer_refusals (
    refusal_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    quarantine_id BIGINT NOT NULL, -- which the row had there, also when it is gone from there
    gatherer TEXT COLLATE "C" NOT NULL,
    table_name TEXT COLLATE "C" NOT NULL,
    ticker TEXT COLLATE "C" NOT NULL, -- '': unreadable
    started_at TIMESTAMPTZ NOT NULL, -- it happened between these
    ended_at TIMESTAMPTZ NOT NULL,
    stored_at TIMESTAMPTZ, -- when it came in after all
    CHECK (started_at < ended_at)
);
CREATE INDEX gatherer_refusals_quarantine_id ON gatherer_refusals (quarantine_id);
CREATE INDEX gatherer_refusals_ended_at ON gatherer_refusals (ended_at) WHERE stored_at IS NULL;

-- What a run recorded beyond this is not known to be all: its database was replaced, or put back to an earlier state.
ALTER TABLE gatherer_runs
ADD COLUMN trusted_until TIMESTAMPTZ, -- NULL: nothing of the kind
ADD COLUMN ingest_id BIGINT; -- of the run's row in its own database, which only grows

ALTER TABLE gatherer_contacts
ADD COLUMN database_identity BIGINT, -- changes when it is created anew on the same server
ADD COLUMN timeline INTEGER, -- grows when a replica is promoted or the server is restored to a point in time
ADD COLUMN wal_position BIGINT, -- only grows
ADD COLUMN state_number INTEGER NOT NULL DEFAULT 0; -- how often it turned out to be another one, or an earlier state
ALTER TABLE sync_cursors ADD COLUMN state_number INTEGER NOT NULL DEFAULT 0; -- in which of these states it was read

-- In which state of its database a gatherer is read now.
CREATE FUNCTION state_number_of(the_gatherer TEXT) RETURNS INTEGER
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT state_number FROM gatherer_contacts WHERE gatherer = the_gatherer), 0)
$$;

-- The second argument is 'adds' where nothing that was called heard can turn out not to be.
CREATE OR REPLACE FUNCTION judge_again() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    -- Two writers that changed the same hours in another order would wait for each other for ever.
    PERFORM pg_advisory_xact_lock(hashtextextended('coverage_changes', 0));
    EXECUTE format($query$
        UPDATE coverage_changes AS c SET
            changes = c.changes + 1,
            changed_since = CASE WHEN c.changes = concerned.judged_changes THEN concerned.since
                ELSE least(c.changed_since, concerned.since) END
        FROM (
            SELECT h.hour, h.judged_changes, %s AS since
            FROM (%s) AS changed (since, until)
            JOIN coverage_hours AS h ON h.hour > changed.since - INTERVAL '1 hour' AND h.hour < changed.until
            GROUP BY h.hour, h.judged_changes
        ) AS concerned
        WHERE c.hour = concerned.hour
    $query$, CASE WHEN TG_ARGV[1] = 'adds' THEN '''infinity''::TIMESTAMPTZ' ELSE 'min(changed.since)' END, TG_ARGV[0]);
    RETURN NULL;
END
$$;

-- The argument selects tickers, and since when and until when they are concerned.
CREATE FUNCTION judge_markets_again() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    -- The lock also makes the order of numbers that of commits: whoever sees one sees all before it.
    PERFORM pg_advisory_xact_lock(hashtextextended('coverage_changes', 0));
    EXECUTE format($query$
        WITH concerned AS (
            INSERT INTO coverage_market_changes (ticker, since, until)
            SELECT changed.ticker, changed.since, changed.until
            FROM (%s) AS changed (ticker, since, until)
            WHERE changed.since < changed.until AND EXISTS (
                SELECT FROM coverage_hours AS h
                WHERE h.hour > changed.since - INTERVAL '1 hour' AND h.hour < changed.until
            )
            RETURNING since, until
        )
        UPDATE coverage_changes AS c SET
            changes = c.changes + 1,
            changed_since = CASE WHEN c.changes = h.judged_changes THEN 'infinity' ELSE c.changed_since END
        FROM coverage_hours AS h, coverage_horizon
        WHERE c.hour = h.hour AND h.hour >= books_since AND EXISTS (
            SELECT FROM concerned WHERE h.hour > concerned.since - INTERVAL '1 hour' AND h.hour < concerned.until
        )
    $query$, TG_ARGV[0]);
    RETURN NULL;
END
$$;

DROP TRIGGER judge_again_after_insert ON gatherer_subscriptions;
CREATE TRIGGER judge_again_after_insert AFTER INSERT ON gatherer_subscriptions
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT a.started_at, least(a.ended_at, r.delivered_until)
     FROM added AS a JOIN gatherer_runs AS r USING (gatherer, run_id) WHERE r.delivered_until IS NOT NULL',
    'adds'
);
DROP TRIGGER judge_again_after_update ON gatherer_runs;
CREATE TRIGGER judge_again_after_update AFTER UPDATE ON gatherer_runs
REFERENCING OLD TABLE AS earlier NEW TABLE AS later FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT coalesce(e.delivered_until, l.started_at), l.delivered_until
     FROM earlier AS e JOIN later AS l USING (gatherer, run_id)
     WHERE e.delivered_until IS DISTINCT FROM l.delivered_until',
    'adds'
);
-- A run may be delivered as soon as it is known.
CREATE TRIGGER judge_again_after_insert AFTER INSERT ON gatherer_runs
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT started_at, delivered_until FROM added', 'adds'
);
DROP TRIGGER judge_again_after_insert ON trade_repairs;
CREATE TRIGGER judge_again_after_insert AFTER INSERT ON trade_repairs
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT started_at, ended_at FROM added', 'adds'
);

DROP TRIGGER judge_again_after_insert ON markets;
CREATE TRIGGER judge_again_after_insert AFTER INSERT ON markets
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_markets_again(
    'SELECT ticker, coalesce(open_time, ''-infinity''), coalesce(traded_until(close_time), ''infinity'') FROM added'
);
DROP TRIGGER judge_again_after_update ON markets;
CREATE TRIGGER judge_again_after_update AFTER UPDATE ON markets
REFERENCING OLD TABLE AS earlier NEW TABLE AS later FOR EACH STATEMENT EXECUTE FUNCTION judge_markets_again(
    'SELECT ticker, moved.since, moved.until
     FROM earlier AS e JOIN later AS l USING (ticker)
     CROSS JOIN LATERAL (
         SELECT
             CASE WHEN e.open_time IS NULL OR l.open_time IS NULL THEN ''-infinity''
                 ELSE least(e.open_time, l.open_time) END,
             greatest(e.open_time, l.open_time)
         WHERE e.open_time IS DISTINCT FROM l.open_time
         UNION ALL
         SELECT
             least(e.close_time, l.close_time),
             CASE WHEN e.close_time IS NULL OR l.close_time IS NULL THEN ''infinity''
                 ELSE traded_until(greatest(e.close_time, l.close_time)) END
         WHERE e.close_time IS DISTINCT FROM l.close_time
     ) AS moved (since, until)'
);

CREATE TRIGGER judge_markets_again_after_insert AFTER INSERT ON audit_findings
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_markets_again(
    'SELECT ticker, from_ts, to_ts FROM added WHERE NOT is_explained AND resolved_at IS NULL'
);
CREATE TRIGGER judge_markets_again_after_update AFTER UPDATE ON audit_findings
REFERENCING OLD TABLE AS earlier NEW TABLE AS later FOR EACH STATEMENT EXECUTE FUNCTION judge_markets_again(
    'SELECT ticker, from_ts, to_ts FROM earlier AS e JOIN later AS l USING (ticker, from_ts, to_ts)
     WHERE (e.is_explained OR e.resolved_at IS NOT NULL) <> (l.is_explained OR l.resolved_at IS NOT NULL)'
);

-- When what a refused row tells of must have happened. Nothing else is known of a row without a time that can be meant
-- than that its gatherer's rows had arrived up to a moment before it.
CREATE FUNCTION happened_between(
    the_gatherer TEXT, happened_at TIMESTAMPTZ, received_at TIMESTAMPTZ
) RETURNS TSTZRANGE
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN is_plausible(received_at) AND happened_at BETWEEN received_at - INTERVAL '1 day' AND received_at + INTERVAL '1 day'
            THEN tstzrange(
                least(happened_at, received_at) - INTERVAL '1 second', greatest(happened_at, received_at) + INTERVAL '1 second'
            )
        WHEN is_plausible(received_at)
            THEN tstzrange(received_at - INTERVAL '1 minute', received_at + INTERVAL '1 second')
        ELSE (
            SELECT tstzrange(coalesce(max(delivered_until), 'epoch'), greatest(now(), max(delivered_until)) + INTERVAL '1 second')
            FROM gatherer_runs WHERE gatherer = the_gatherer
        )
    END
$$;

-- Of books until the next snapshot: app/coverage/journals.py
CREATE FUNCTION refused_of_markets(table_name TEXT, ticker TEXT) RETURNS BOOLEAN
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ticker <> '' AND table_name IN ('orderbook_deltas', 'orderbook_snapshots');

CREATE TRIGGER judge_again_after_insert AFTER INSERT ON gatherer_refusals
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT started_at, ended_at + INTERVAL ''6 hours'' FROM added WHERE NOT refused_of_markets(table_name, ticker)'
);
CREATE TRIGGER judge_markets_again_after_insert AFTER INSERT ON gatherer_refusals
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_markets_again(
    'SELECT ticker, started_at, ended_at + INTERVAL ''6 hours'' FROM added WHERE refused_of_markets(table_name, ticker)'
);
CREATE TRIGGER judge_again_after_update AFTER UPDATE ON gatherer_refusals
REFERENCING NEW TABLE AS later FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT started_at, ended_at + INTERVAL ''6 hours'' FROM later', 'adds'
);

-- A row has left quarantine for its table. Whoever may retry need not be allowed to judge.
CREATE FUNCTION refused_row_is_stored(the_quarantine_id BIGINT) RETURNS VOID
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE gatherer_refusals SET stored_at = now() WHERE quarantine_id = the_quarantine_id AND stored_at IS NULL
$$;
REVOKE EXECUTE ON FUNCTION refused_row_is_stored (BIGINT) FROM PUBLIC;

-- Hour by hour, up to when it is known what was heard.
CREATE VIEW coverage_known AS
SELECT
    h.hour,
    CASE WHEN c.changes = h.judged_changes THEN h.known_until
        ELSE greatest(h.hour, least(h.known_until, c.changed_since)) END AS known_until,
    h.known_until = h.hour + INTERVAL '1 hour' AND c.changes = h.judged_changes AS is_settled,
    h.judged_at,
    h.judged_number
FROM coverage_hours AS h JOIN coverage_changes AS c USING (hour);

CREATE OR REPLACE VIEW readable.coverage AS
SELECT
    h.hour, m.ticker, asked.channel,
    CASE
        WHEN found.holes <> '{}' THEN 'hole'
        WHEN judged.known_until < upper(life.period) THEN 'pending'
        WHEN found.repaired <> '{}' THEN 'repaired'
        ELSE 'complete'
    END AS state,
    found.holes, found.repaired, found.repaired_by, life.period, judged.known_until
FROM coverage_known AS h
CROSS JOIN coverage_horizon
JOIN markets AS m
    ON greatest(m.open_time, h.hour) < least(traded_until(m.close_time), h.hour + INTERVAL '1 hour')
CROSS JOIN LATERAL (
    SELECT
        tstzrange(
            greatest(m.open_time, h.hour),
            greatest(m.open_time, h.hour, least(traded_until(m.close_time), h.hour + INTERVAL '1 hour'))
        ) AS period
) AS life
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN EXISTS (
            SELECT FROM coverage_market_changes AS u
            WHERE u.ticker = m.ticker AND u.number > h.judged_number
                AND u.since < h.hour + INTERVAL '1 hour' AND u.until > h.hour
        ) THEN h.hour
        ELSE h.known_until
    END AS known_until
) AS judged
CROSS JOIN LATERAL (
    VALUES ('orderbook_delta', m.ticker), ('trade', ''), ('ticker', ''),
    (CASE WHEN m.mve_collection_ticker IS NULL THEN 'market_lifecycle_v2' ELSE 'multivariate_market_lifecycle' END, '')
) AS asked (channel, of_ticker)
LEFT JOIN coverage AS e ON e.hour = h.hour AND e.channel = asked.channel AND e.ticker = asked.of_ticker
CROSS JOIN LATERAL (
    SELECT
        coalesce(e.holes * tstzmultirange(life.period), '{}') AS holes,
        coalesce(e.repaired * tstzmultirange(life.period), '{}') AS repaired,
        coalesce(e.repaired_by, '{}') AS repaired_by
) AS found
WHERE asked.of_ticker = '' OR h.hour >= books_since;
