-- The book at a time without a look at the order of each change since its snapshot, where that cannot matter. The rule
-- is that of 0046_book_at_a_time.sql, and so are the answers.
--
-- changes_since() numbers the restarts of clocks to tell which changes with a clock up to the snapshot's come on top of
-- it, and which changes without a time are of older clocks. Where no change after the snapshot is one of these, all that
-- are stamped after it count, however often clocks began anew; and of those stamped before, the ones that it lacks.
--
-- changes_since() and becomes() say what they did, and are only planned otherwise: from the sixth time on that a session
-- asks, it plans without the values, takes a market for one of a handful of changes, and looked for what is held once
-- for each of them. A subquery by itself is made once, whatever is expected.

-- The changes that come on top of a snapshot, where clocks and times do not agree about which they are; and with each
-- how often clocks had begun anew since.
CREATE OR REPLACE FUNCTION changes_since(
    the_ticker TEXT, base_ts TIMESTAMPTZ, base_received_at TIMESTAMPTZ, base_clock BIGINT, at TIMESTAMPTZ
) RETURNS TABLE (yes_side BOOLEAN, price_e6 INTEGER, delta_e2 BIGINT, exchange_ts TIMESTAMPTZ, clock BIGINT, run BIGINT)
LANGUAGE sql STABLE AS $$
    WITH near AS (
        SELECT d.exchange_ts, d.received_at, d.clock, d.ts_missing, d.yes_side, d.price_e6, d.delta_e2
        FROM orderbook_deltas AS d
        WHERE d.ticker = the_ticker AND d.exchange_ts > base_ts - latest_stamp() AND d.exchange_ts <= at
    ),
    held AS (
        SELECT max(exchange_ts) AS until FROM near
        WHERE exchange_ts <= base_ts AND clock BETWEEN 0 AND base_clock AND NOT ts_missing
    ),
    -- Without those of older clocks.
    possible AS (
        SELECT * FROM near
        WHERE clock >= 0 AND (
            exchange_ts > base_ts OR clock <= base_clock
            OR (received_at >= base_received_at AND exchange_ts >= coalesce((SELECT until FROM held), '-infinity'))
        )
    ),
    followed AS (
        SELECT
            *, lag(exchange_ts) OVER timed AS previous_ts,
            -- Changes of one clock happen at once.
            coalesce(
                clock < lag(clock) OVER timed
                OR (clock = lag(clock) OVER timed AND exchange_ts > lag(exchange_ts) OVER timed + INTERVAL '1 second'),
                FALSE
            ) AS is_anew
        FROM possible
        WINDOW timed AS (PARTITION BY ts_missing ORDER BY exchange_ts, clock)
    ),
    fallen AS (
        SELECT
            *,
            NOT ts_missing AND exchange_ts > base_ts AND CASE
                WHEN previous_ts > base_ts THEN is_anew
                -- One that the snapshot holds may be stamped a bit later, or have come a bit later.
                ELSE received_at >= base_received_at AND exchange_ts > base_ts + INTERVAL '1 second'
                    AND (clock <= base_clock OR is_anew)
            END AS fell
        FROM followed
    ),
    numbered AS (
        SELECT *, count(*) FILTER (WHERE fell) OVER (ORDER BY exchange_ts) AS run FROM fallen
    ),
    fitted AS (
        SELECT
            *,
            run - (
                ts_missing AND clock > coalesce(min(clock) FILTER (WHERE NOT ts_missing) OVER afterwards, clock)
            )::INTEGER AS true_run
        FROM numbered
        WINDOW afterwards AS (
            PARTITION BY run ORDER BY exchange_ts DESC GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
    )
    SELECT yes_side, price_e6, delta_e2, exchange_ts, clock, true_run FROM fitted
    WHERE CASE
        WHEN exchange_ts <= base_ts THEN clock > base_clock
        WHEN true_run > 0 THEN TRUE
        WHEN true_run < 0 AND received_at < base_received_at THEN FALSE
        ELSE clock > base_clock OR exchange_ts > base_ts + latest_stamp()
    END
    UNION ALL
    SELECT yes_side, price_e6, delta_e2, exchange_ts, clock, 0 FROM near WHERE clock < 0 AND exchange_ts > base_ts
$$;

-- Whether the later of two snapshots is what the earlier one had become by its clock.
CREATE OR REPLACE FUNCTION becomes(earlier orderbook_snapshots, later orderbook_snapshots) RETURNS BOOLEAN
LANGUAGE sql STABLE AS $$
    WITH since AS (
        SELECT * FROM changes_since(
            later.ticker, earlier.snapshot_ts, earlier.received_at, earlier.clock,
            later.snapshot_ts + INTERVAL '1 second'
        )
    ),
    last AS (SELECT coalesce(max(run) FILTER (WHERE exchange_ts <= later.snapshot_ts), 0) AS run FROM since)
    SELECT NOT EXISTS (
        SELECT FROM (
            SELECT * FROM levels_of(earlier)
            UNION ALL
            SELECT yes_side, price_e6, -size_e2 FROM levels_of(later)
            UNION ALL
            SELECT s.yes_side, s.price_e6, s.delta_e2 FROM since AS s
            WHERE (s.run, s.clock) <= ((SELECT run FROM last), later.clock)
        ) AS level
        GROUP BY yes_side, price_e6
        HAVING sum(size_e2) <> 0
    )
$$;

-- The changes stamped before a snapshot that it lacks.
CREATE FUNCTION changes_lacking(base orderbook_snapshots)
RETURNS TABLE (yes_side BOOLEAN, price_e6 INTEGER, delta_e2 BIGINT)
LANGUAGE sql STABLE AS $$
    SELECT d.yes_side, d.price_e6, d.delta_e2 FROM orderbook_deltas AS d
    WHERE base.clock >= 0 AND d.ticker = base.ticker AND d.clock > base.clock AND d.received_at >= base.received_at
        AND d.exchange_ts > base.snapshot_ts - latest_stamp() AND d.exchange_ts <= base.snapshot_ts
        -- What happened before a change of a lower clock is of older clocks for certain.
        AND NOT EXISTS (
            SELECT FROM orderbook_deltas AS held
            WHERE held.ticker = base.ticker AND held.clock BETWEEN 0 AND base.clock AND NOT held.ts_missing
                AND held.exchange_ts > d.exchange_ts AND held.exchange_ts <= base.snapshot_ts
        )
$$;

CREATE OR REPLACE FUNCTION recorded_book(the_ticker TEXT, at TIMESTAMPTZ) RETURNS TABLE (
    based_on TIMESTAMPTZ, source TEXT, changes BIGINT, yes_sides BOOLEAN [], prices_e6 INTEGER [], sizes_e2 BIGINT []
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    oldest_base CONSTANT TIMESTAMPTZ :=
        dropped_through + latest_stamp() FROM chunked_tables WHERE table_name = 'orderbook_deltas';
    base orderbook_snapshots := last_snapshot(the_ticker, oldest_base, at);
    is_disputed BOOLEAN; -- whether a change counts depends on when clocks began anew
BEGIN
    IF base.ticker IS NULL THEN
        RETURN;
    END IF;
    IF base.clock >= 0 THEN
        base := without_late_ones(base, oldest_base);
    END IF;
    based_on := base.snapshot_ts;
    source := base.source;
    SELECT
        coalesce(sum(level.changes), 0), coalesce(bool_or(level.is_disputed), FALSE),
        array_agg(level.yes_side), array_agg(level.price_e6), array_agg(level.size_e2)
    INTO changes, is_disputed, yes_sides, prices_e6, sizes_e2
    FROM (
        SELECT
            change.yes_side, change.price_e6, sum(change.size_e2)::BIGINT AS size_e2, sum(change.changes) AS changes,
            bool_or(change.is_disputed) AS is_disputed
        FROM (
            SELECT yes_side, price_e6, size_e2, 0 AS changes, FALSE AS is_disputed FROM levels_of(base)
            UNION ALL
            SELECT yes_side, price_e6, delta_e2, 1, FALSE FROM changes_lacking(base)
            UNION ALL
            SELECT
                d.yes_side, d.price_e6, d.delta_e2, 1,
                d.clock BETWEEN 0 AND base.clock
                OR (d.ts_missing AND d.clock > base.clock AND d.received_at < base.received_at AND base.clock >= 0)
            FROM orderbook_deltas AS d
            WHERE d.ticker = the_ticker AND d.exchange_ts > base.snapshot_ts AND d.exchange_ts <= at
        ) AS change
        GROUP BY change.yes_side, change.price_e6
    ) AS level;
    IF is_disputed THEN
        SELECT
            coalesce(sum(level.changes), 0), array_agg(level.yes_side), array_agg(level.price_e6),
            array_agg(level.size_e2)
        INTO changes, yes_sides, prices_e6, sizes_e2
        FROM (
            SELECT
                change.yes_side, change.price_e6, sum(change.size_e2)::BIGINT AS size_e2, sum(change.changes) AS changes
            FROM (
                SELECT yes_side, price_e6, size_e2, 0 AS changes FROM levels_of(base)
                UNION ALL
                SELECT yes_side, price_e6, delta_e2, 1
                FROM changes_since(the_ticker, base.snapshot_ts, base.received_at, base.clock, at)
            ) AS change
            GROUP BY change.yes_side, change.price_e6
        ) AS level;
    END IF;
    RETURN NEXT;
END
$$;
