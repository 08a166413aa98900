-- The exchange tells in whole seconds when a market closes, and may trade until that second is over. A close on the hour
-- is taken for a planned one, and exact: else most markets would have a second of life in the next hour.
CREATE FUNCTION traded_until(close_time TIMESTAMPTZ) RETURNS TIMESTAMPTZ
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN extract(epoch FROM close_time) % 1 <> 0 OR extract(epoch FROM close_time) % 3600 = 0 THEN close_time
        ELSE close_time + INTERVAL '1 second'
    END
$$;

CREATE OR REPLACE VIEW readable.coverage AS
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
    ON greatest(m.open_time, h.hour) < least(traded_until(m.close_time), h.hour + INTERVAL '1 hour')
CROSS JOIN LATERAL (
    SELECT
        tstzrange(
            greatest(m.open_time, h.hour),
            greatest(m.open_time, h.hour, least(traded_until(m.close_time), h.hour + INTERVAL '1 hour'))
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
