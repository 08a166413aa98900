-- Snapshots that came late, after an outage and after a restart of clocks. kalshi_data/order_book.py says the same.
--
-- After an outage of every connection there is no snapshot from before that could have become the late one: it is known
-- by an earlier one that was ahead of it.

-- Whether the earlier snapshot is what the late one becomes by the changes that lie between their clocks. Without such a
-- change nothing is known: a book may be the same after clocks began anew.
CREATE FUNCTION is_behind(late orderbook_snapshots, earlier orderbook_snapshots) RETURNS BOOLEAN
LANGUAGE sql STABLE AS $$
    WITH between_them AS (
        SELECT * FROM changes_since(
            late.ticker, late.snapshot_ts, late.received_at, late.clock, earlier.snapshot_ts + INTERVAL '1 second'
        ) AS change
        WHERE change.clock BETWEEN 0 AND earlier.clock
    )
    SELECT late.clock < earlier.clock AND EXISTS (SELECT FROM between_them) AND NOT EXISTS (
        SELECT FROM (
            SELECT * FROM levels_of(late)
            UNION ALL
            SELECT yes_side, price_e6, -size_e2 FROM levels_of(earlier)
            UNION ALL
            SELECT yes_side, price_e6, delta_e2 FROM between_them
        ) AS level
        GROUP BY yes_side, price_e6
        HAVING sum(size_e2) <> 0
    )
$$;

-- Whether the later of two snapshots may be what the earlier one had become: if clocks fell in between, and no change
-- shows it, that the books are the same is a coincidence.
CREATE FUNCTION may_become(earlier orderbook_snapshots, later orderbook_snapshots) RETURNS BOOLEAN
LANGUAGE sql STABLE AS $$
    SELECT later.clock >= earlier.clock OR EXISTS (
        SELECT FROM changes_since(
            later.ticker, earlier.snapshot_ts, earlier.received_at, earlier.clock,
            later.snapshot_ts + INTERVAL '1 second'
        ) AS change
        WHERE change.run > 0 AND change.exchange_ts <= later.snapshot_ts
    )
$$;

-- Whether an earlier snapshot shows that this one came late.
CREATE FUNCTION shows_late(earlier orderbook_snapshots, base orderbook_snapshots) RETURNS BOOLEAN
LANGUAGE sql STABLE AS $$
    SELECT (may_become(earlier, base) AND becomes(earlier, base)) OR is_behind(base, earlier)
$$;

-- Goes back from a snapshot that came late to the one before it, which serves as well.
CREATE OR REPLACE FUNCTION without_late_ones(base orderbook_snapshots, oldest TIMESTAMPTZ) RETURNS orderbook_snapshots
LANGUAGE plpgsql STABLE AS $$
DECLARE
    last orderbook_snapshots;
    certain orderbook_snapshots;
BEGIN
    IF NOT is_in_doubt(base) THEN
        RETURN base;
    END IF;
    last := last_snapshot(base.ticker, oldest, base.snapshot_ts - INTERVAL '1 microsecond');
    IF coalesce(last.clock, -1) < 0 THEN
        RETURN base;
    END IF;
    certain := without_late_ones(last, oldest);
    -- If both hold the same, what arrived between the two is lacking in both.
    IF certain.clock = base.clock AND certain.received_at > base.received_at THEN
        certain.received_at := base.received_at;
    END IF;
    IF shows_late(certain, base) THEN
        RETURN certain;
    END IF;
    LOOP
        IF shows_late(last, base) THEN
            RETURN certain;
        END IF;
        EXIT WHEN last.snapshot_ts <= base.snapshot_ts - latest_stamp();
        last := last_snapshot(base.ticker, oldest, last.snapshot_ts - INTERVAL '1 microsecond');
        EXIT WHEN coalesce(last.clock, -1) < 0;
    END LOOP;
    RETURN base;
END
$$;
