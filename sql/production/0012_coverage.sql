-- squawk-ignore-file ban-drop-table
-- How complete the record is. A row for every market and hour would be millions a day, nearly all of them saying
-- "complete": so there is one row an hour that says up to when it is known, and one for each exception.

DROP TABLE coverage; -- nothing ever wrote to it

CREATE TABLE coverage_hours (
    hour TIMESTAMPTZ PRIMARY KEY,
    known_until TIMESTAMPTZ NOT NULL, -- up to here it is known what was heard; the hour's end: all of it
    judged_changes BIGINT NOT NULL DEFAULT -1, -- how many of its changes are judged already
    judged_at TIMESTAMPTZ,
    volumes_checked_at TIMESTAMPTZ, -- when its recorded trades were compared with the volume that the exchange told
    CHECK (known_until BETWEEN hour AND hour + INTERVAL '1 hour')
);

-- How often something was learnt that concerns an hour. Apart from it, so that whoever learns and whoever judges do not
-- change the same row.
CREATE TABLE coverage_changes (
    hour TIMESTAMPTZ PRIMARY KEY,
    changes BIGINT NOT NULL DEFAULT 0 -- of journals, lives of markets and repairs
);

-- What has no row here is complete, up to its hour's known_until.
CREATE TABLE coverage (
    hour TIMESTAMPTZ NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    ticker TEXT COLLATE "C" NOT NULL, -- '': the whole exchange
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('repaired', 'hole')),
    holes TSTZMULTIRANGE NOT NULL, -- no gatherer heard it then, and nothing has repaired it
    repaired TSTZMULTIRANGE NOT NULL, -- no gatherer heard it then; trades were fetched afterwards
    -- 'rest' for trades; of books, the gatherers that heard them again first: from where on they are known again.
    repaired_by TEXT [] NOT NULL,
    PRIMARY KEY (hour, channel, ticker),
    CHECK ((state = 'hole') = (holes <> '{}'))
);
CREATE INDEX coverage_ticker ON coverage (ticker, hour);

-- Trades that were asked for by REST, since no gatherer has them.
CREATE TABLE trade_repairs (
    repair_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticker TEXT COLLATE "C" NOT NULL, -- '': of the whole exchange
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ NOT NULL,
    reason TEXT COLLATE "C" NOT NULL CHECK (reason IN ('hole', 'volume')),
    trades BIGINT NOT NULL, -- that the exchange has
    added BIGINT NOT NULL, -- that were not here
    repaired_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX trade_repairs_started_at ON trade_repairs (started_at);

-- Whatever is learnt late is judged again. The argument selects from the changed rows since when and until when
-- it concerns what was heard; of journals, that is at most until what is delivered.
CREATE FUNCTION judge_again() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    -- Two writers that changed the same hours in another order would wait for each other for ever.
    PERFORM pg_advisory_xact_lock(hashtextextended('coverage_changes', 0));
    EXECUTE format($query$
        UPDATE coverage_changes SET changes = changes + 1
        WHERE hour IN (
            SELECT h.hour
            FROM (%s) AS changed (since, until)
            JOIN coverage_changes AS h ON h.hour > changed.since - INTERVAL '1 hour' AND h.hour < changed.until
        )
    $query$, TG_ARGV[0]);
    RETURN NULL;
END
$$;

CREATE TRIGGER judge_again_after_insert AFTER INSERT ON gatherer_subscriptions
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT a.started_at, least(a.ended_at, r.delivered_until)
     FROM added AS a JOIN gatherer_runs AS r USING (gatherer, run_id) WHERE r.delivered_until IS NOT NULL'
);
CREATE TRIGGER judge_again_after_update AFTER UPDATE ON gatherer_subscriptions
REFERENCING OLD TABLE AS earlier NEW TABLE AS later FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT least(e.ended_at, l.ended_at), r.delivered_until
     FROM earlier AS e JOIN later AS l USING (gatherer, run_id, conn, channel, ticker, started_at)
     JOIN gatherer_runs AS r USING (gatherer, run_id)
     WHERE e.ended_at IS DISTINCT FROM l.ended_at'
);
CREATE TRIGGER judge_again_after_insert AFTER INSERT ON gatherer_gaps
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT a.started_at, least(a.ended_at, r.delivered_until)
     FROM added AS a JOIN gatherer_runs AS r USING (gatherer, run_id) WHERE r.delivered_until IS NOT NULL'
);
CREATE TRIGGER judge_again_after_update AFTER UPDATE ON gatherer_gaps
REFERENCING OLD TABLE AS earlier NEW TABLE AS later FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT
         CASE WHEN e.started_at = l.started_at THEN least(e.ended_at, l.ended_at) ELSE least(e.started_at, l.started_at) END,
         r.delivered_until
     FROM earlier AS e JOIN later AS l USING (gatherer, run_id, number) JOIN gatherer_runs AS r USING (gatherer, run_id)
     WHERE (e.started_at, e.ended_at) IS DISTINCT FROM (l.started_at, l.ended_at)'
);
CREATE TRIGGER judge_again_after_update AFTER UPDATE ON gatherer_runs
REFERENCING OLD TABLE AS earlier NEW TABLE AS later FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT coalesce(e.delivered_until, l.started_at), l.delivered_until
     FROM earlier AS e JOIN later AS l USING (gatherer, run_id)
     WHERE e.delivered_until IS DISTINCT FROM l.delivered_until'
);
CREATE TRIGGER judge_again_after_insert AFTER INSERT ON markets
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT coalesce(open_time, ''-infinity''), coalesce(close_time, ''infinity'') FROM added'
);
CREATE TRIGGER judge_again_after_update AFTER UPDATE ON markets
REFERENCING OLD TABLE AS earlier NEW TABLE AS later FOR EACH STATEMENT EXECUTE FUNCTION judge_again(
    'SELECT moved.since, moved.until
     FROM earlier AS e JOIN later AS l USING (ticker)
     CROSS JOIN LATERAL (
         SELECT coalesce(least(e.open_time, l.open_time), ''-infinity''), greatest(e.open_time, l.open_time)
         WHERE e.open_time IS DISTINCT FROM l.open_time
         UNION ALL
         SELECT least(e.close_time, l.close_time), coalesce(greatest(e.close_time, l.close_time), ''infinity'')
         WHERE e.close_time IS DISTINCT FROM l.close_time
     ) AS moved (since, until)'
);
CREATE TRIGGER judge_again_after_insert AFTER INSERT ON trade_repairs
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION judge_again('SELECT started_at, ended_at FROM added');

-- For people, and for any market and hour: WHERE ticker = ... AND hour >= ...
CREATE VIEW readable.coverage AS
SELECT
    h.hour, m.ticker, asked.channel,
    CASE
        WHEN found.holes <> '{}' THEN 'hole'
        WHEN h.known_until < upper(life.period) THEN 'pending'
        WHEN found.repaired <> '{}' THEN 'repaired'
        ELSE 'complete'
    END AS state,
    found.holes, found.repaired, found.repaired_by, life.period, h.known_until
FROM coverage_hours AS h
JOIN markets AS m
    ON greatest(m.open_time, h.hour) < least(m.close_time, h.hour + INTERVAL '1 hour')
CROSS JOIN LATERAL (
    SELECT
        tstzrange(
            greatest(m.open_time, h.hour), greatest(m.open_time, h.hour, least(m.close_time, h.hour + INTERVAL '1 hour'))
        ) AS period
) AS life
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
) AS found;
