-- squawk-ignore-file adding-field-with-default
-- What is known of a market at a time, as far as journals and the audit tell.

-- Up to here the record of a market is known: later, somebody may still bring what looks like a hole. After its close
-- there is nothing to be known. NULL: nothing is known yet.
CREATE FUNCTION known_until(the_ticker TEXT) RETURNS TIMESTAMPTZ
LANGUAGE sql STABLE AS $$
    SELECT least(judged.until, (SELECT traded_until(m.close_time) FROM markets AS m WHERE m.ticker = the_ticker))
    FROM (
        SELECT h.known_until AS until FROM coverage_hours AS h WHERE h.known_until > h.hour ORDER BY h.hour DESC LIMIT 1
    ) AS judged
$$;

-- Whether a gatherer heard the market's book then, by its journals and what the audit found. An hour that goes on, or of
-- which something was learnt, is judged again and again, and this says it in between. A book that was lost is known again after six hours, as app/coverage/journals.py has it.
CREATE FUNCTION is_book_heard(the_ticker TEXT, at TIMESTAMPTZ) RETURNS BOOLEAN
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM gatherer_subscriptions AS s
        JOIN gatherer_runs AS r USING (gatherer, run_id)
        WHERE s.ticker = the_ticker AND s.channel = 'orderbook_delta'
            AND s.started_at <= at AND coalesce(s.ended_at, 'infinity') > at
            AND r.started_at <= at AND least(r.delivered_until, coalesce(r.trusted_until, 'infinity')) > at
            AND NOT EXISTS (
                SELECT FROM gatherer_gaps AS g
                WHERE g.gatherer = s.gatherer AND g.run_id = s.run_id AND g.conn = s.conn
                    AND (g.sid < 0 OR g.channel = s.channel)
                    AND g.started_at <= at AND coalesce(g.ended_at, 'infinity') > at
            )
            AND NOT EXISTS (
                SELECT FROM gatherer_losses AS l
                WHERE l.gatherer = s.gatherer AND l.table_name IN ('orderbook_deltas', 'orderbook_snapshots')
                    AND l.started_at <= at AND l.ended_at + INTERVAL '6 hours' > at
            )
            AND NOT EXISTS (
                SELECT FROM gatherer_refusals AS f
                WHERE f.gatherer = s.gatherer AND f.table_name IN ('orderbook_deltas', 'orderbook_snapshots')
                    AND f.ticker IN (the_ticker, '') AND f.stored_at IS NULL
                    AND f.started_at <= at AND f.ended_at + INTERVAL '6 hours' > at
            )
    ) AND NOT EXISTS (
        SELECT FROM audit_findings AS a
        WHERE a.ticker = the_ticker AND a.resolved_at IS NULL AND NOT a.is_explained
            AND a.from_ts <= at AND a.to_ts > at
    )
$$;

CREATE OR REPLACE FUNCTION knowledge_of_book(the_ticker TEXT, at TIMESTAMPTZ)
RETURNS TABLE (state TEXT, known_until TIMESTAMPTZ, hole TSTZRANGE)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    of_hour RECORD;
    moment TIMESTAMPTZ := at;
BEGIN
    known_until := known_until(the_ticker);
    state := 'unknown';
    IF at <= known_until THEN
        -- Hours end before their end, and so do markets.
        IF at = known_until THEN
            moment := at - INTERVAL '1 microsecond';
        END IF;
        SELECT
            c.state, c.known_until, c.known_until < c.hour + INTERVAL '1 hour' AS goes_on,
            (SELECT h FROM unnest(c.holes) AS h WHERE h @> moment) AS hole
        INTO of_hour
        FROM readable.coverage AS c
        WHERE c.ticker = the_ticker AND c.channel = 'orderbook_delta' AND c.hour = date_bin('1 hour', moment, 'epoch');
        hole := of_hour.hole;
        state := CASE
            WHEN hole IS NOT NULL THEN 'hole'
            WHEN of_hour.state IN ('complete', 'repaired', 'hole') AND moment < of_hour.known_until THEN 'complete'
            WHEN of_hour.goes_on AND is_book_heard(the_ticker, moment) THEN 'complete'
            ELSE 'unknown'
        END;
    END IF;
    RETURN NEXT;
END
$$;

-- Pairs of books that nothing can be said of, and not because nobody heard what was in between: clocks began anew.
ALTER TABLE audit_progress
ADD COLUMN incomparable BIGINT NOT NULL DEFAULT 0,
ADD COLUMN explained BIGINT NOT NULL DEFAULT 0;

-- The last snapshot of the stream up to which a market's changes are compared with snapshots. NULL: there is none.
CREATE FUNCTION audited_until(the_ticker TEXT) RETURNS TIMESTAMPTZ
LANGUAGE sql STABLE AS $$
    SELECT s.snapshot_ts FROM orderbook_snapshots AS s
    WHERE s.ticker = the_ticker AND s.source = 'ws' AND s.clock >= 0
        AND s.ingest_id <= (SELECT p.ingest_id FROM audit_progress AS p)
    ORDER BY s.snapshot_ts DESC LIMIT 1
$$;

-- Of markets that closed in a time: how many there are, and of how many no snapshot proves the last changes.
CREATE FUNCTION unproven_ends(since TIMESTAMPTZ, until TIMESTAMPTZ) RETURNS TABLE (closed BIGINT, unproven BIGINT)
LANGUAGE sql STABLE AS $$
    SELECT count(*), count(*) FILTER (
        WHERE EXISTS (
            SELECT FROM orderbook_deltas AS d
            WHERE d.ticker = m.ticker AND d.exchange_ts > coalesce(audited_until(m.ticker), '-infinity')
                AND d.exchange_ts > m.close_time - INTERVAL '30 days' AND d.exchange_ts <= m.close_time
        )
    )
    FROM markets AS m WHERE m.close_time >= since AND m.close_time < until
$$;
