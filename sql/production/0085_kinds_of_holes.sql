-- squawk-ignore-file require-concurrent-index-creation
-- Every hole with its kind. 'unrecorded': before the record of the market or channel began, in the first hour.
-- 'opening': between a market's opening and its first snapshot, a minute at most. 'outage': anything else.
CREATE VIEW coverage_holes AS
SELECT e.hour, e.channel, e.ticker, part.kind, part.since, part.until, e.repaired_by
FROM coverage AS e
JOIN coverage_hours AS h USING (hour)
LEFT JOIN markets AS m ON m.ticker = e.ticker
CROSS JOIN (SELECT min(started_at) AS began_at FROM gatherer_runs) AS record
CROSS JOIN LATERAL unnest(e.holes) AS hole
CROSS JOIN LATERAL (
    -- A hole that goes on at the end of what is known may be an outage: only what lies before the first run is excused.
    SELECT CASE
        WHEN lower(hole) > record.began_at THEN lower(hole)
        WHEN upper(hole) < h.known_until THEN upper(hole)
        ELSE greatest(lower(hole), least(upper(hole), record.began_at))
    END AS recorded_since
) AS record_of_it
CROSS JOIN LATERAL (
    SELECT 'unrecorded' AS kind, lower(hole) AS since, recorded_since AS until
    UNION ALL
    SELECT
        CASE
            WHEN lower(hole) = greatest(m.open_time, e.hour) AND upper(hole) <= m.open_time + INTERVAL '1 minute' THEN 'opening'
            ELSE 'outage'
        END,
        recorded_since, upper(hole)
) AS part
WHERE part.since < part.until;

-- How many markets are recorded now: of a run that lasts for weeks, only the subscriptions that are open are read.
CREATE INDEX gatherer_subscriptions_open ON gatherer_subscriptions (gatherer, run_id, ticker)
WHERE ended_at IS NULL AND channel = 'orderbook_delta';
