-- squawk-ignore-file ban-drop-function
-- The book at a time, one definition for everybody: app/book.py says the same in Python, and is tested against this.
--
-- A snapshot with a clock holds the changes up to that clock, and no other, within one run of its market's clocks: after
-- an outage or a maintenance of the exchange clocks may begin small again. Nothing says so, it follows from the rows:
-- * A change stamped before the snapshot, with a higher clock, is either one that it lacks (a snapshot is stamped when it
--   was sent, which may be a while after it was taken), or of the clocks before a restart. It is lacking if it came after
--   the snapshot. If somebody had received it before, the snapshot came late or clocks began anew: it came late if it is
--   what one before it had become by its clock, and then the one before it serves as well.
-- * A change stamped after the snapshot counts, whatever its clock, from where clocks have fallen; before, with a higher
--   clock. Only changes with a time of their own can tell that, for those are stamped in the order of their clocks. One
--   without a time is stamped late: it belongs where its clock fits.

-- How far a snapshot's stamp may be from those of the changes around it.
CREATE FUNCTION latest_stamp() RETURNS INTERVAL LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN INTERVAL '1 minute';

CREATE FUNCTION levels_of(book orderbook_snapshots)
RETURNS TABLE (yes_side BOOLEAN, price_e6 INTEGER, size_e2 BIGINT)
LANGUAGE sql IMMUTABLE AS $$
    SELECT TRUE, * FROM unnest(book.yes_prices_e6, book.yes_sizes_e2)
    UNION ALL
    SELECT FALSE, * FROM unnest(book.no_prices_e6, book.no_sizes_e2)
$$;

-- The changes that come on top of a snapshot, where clocks and times do not agree about which they are; and with each
-- how often clocks had begun anew since.
CREATE FUNCTION changes_since(
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
        SELECT near.* FROM near CROSS JOIN held
        WHERE clock >= 0 AND (
            exchange_ts > base_ts OR clock <= base_clock
            OR (received_at >= base_received_at AND exchange_ts >= coalesce(held.until, '-infinity'))
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
CREATE FUNCTION becomes(earlier orderbook_snapshots, later orderbook_snapshots) RETURNS BOOLEAN
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
            SELECT s.yes_side, s.price_e6, s.delta_e2 FROM since AS s CROSS JOIN last
            WHERE (s.run, s.clock) <= (last.run, later.clock)
        ) AS level
        GROUP BY yes_side, price_e6
        HAVING sum(size_e2) <> 0
    )
$$;

-- The last full snapshot before a time: with a clock, which says exactly what it holds, or the last without one.
CREATE FUNCTION last_snapshot(the_ticker TEXT, after TIMESTAMPTZ, until TIMESTAMPTZ) RETURNS orderbook_snapshots
LANGUAGE plpgsql STABLE AS $$
DECLARE
    last orderbook_snapshots;
BEGIN
    SELECT s.* INTO last FROM orderbook_snapshots AS s
    WHERE s.ticker = the_ticker AND s.snapshot_ts >= after AND s.snapshot_ts <= until
        AND s.clock >= 0 AND s.yes_prices_e6 IS NOT NULL
    ORDER BY s.snapshot_ts DESC LIMIT 1;
    IF NOT FOUND THEN
        SELECT s.* INTO last FROM orderbook_snapshots AS s
        WHERE s.ticker = the_ticker AND s.snapshot_ts >= after AND s.snapshot_ts <= until AND s.yes_prices_e6 IS NOT NULL
        ORDER BY s.snapshot_ts DESC LIMIT 1;
    END IF;
    RETURN last;
END
$$;

-- Whether a change stamped before a snapshot, with a higher clock, came before it too: the snapshot came late, or clocks
-- began anew.
CREATE FUNCTION is_in_doubt(base orderbook_snapshots) RETURNS BOOLEAN
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM orderbook_deltas AS d
        WHERE d.ticker = base.ticker AND d.clock > base.clock AND d.received_at < base.received_at
            AND d.exchange_ts > base.snapshot_ts - latest_stamp() AND d.exchange_ts <= base.snapshot_ts
            -- What happened before a change of a lower clock is of older clocks for certain.
            AND NOT EXISTS (
                SELECT FROM orderbook_deltas AS held
                WHERE held.ticker = base.ticker AND held.clock BETWEEN 0 AND base.clock AND NOT held.ts_missing
                    AND held.exchange_ts > d.exchange_ts AND held.exchange_ts <= base.snapshot_ts
            )
    )
$$;

-- Goes back from a snapshot that came late to the one before it, which serves as well.
CREATE FUNCTION without_late_ones(base orderbook_snapshots, oldest TIMESTAMPTZ) RETURNS orderbook_snapshots
LANGUAGE plpgsql STABLE AS $$
DECLARE
    last orderbook_snapshots;
    certain orderbook_snapshots;
    earlier orderbook_snapshots;
BEGIN
    IF NOT is_in_doubt(base) THEN
        RETURN base;
    END IF;
    last := last_snapshot(base.ticker, oldest, base.snapshot_ts - INTERVAL '1 microsecond');
    IF coalesce(last.clock, -1) < 0 THEN
        RETURN base;
    END IF;
    certain := without_late_ones(last, oldest);
    -- Both hold the same, and what came between the two is known to be lacking in this one.
    IF certain.clock = base.clock AND certain.received_at > base.received_at THEN
        RETURN base;
    END IF;
    earlier := certain;
    LOOP
        IF becomes(earlier, base) THEN
            RETURN certain;
        END IF;
        EXIT WHEN last.snapshot_ts <= base.snapshot_ts - latest_stamp();
        last := last_snapshot(base.ticker, oldest, last.snapshot_ts - INTERVAL '1 microsecond');
        EXIT WHEN coalesce(last.clock, -1) < 0;
        earlier := last;
    END LOOP;
    RETURN base;
END
$$;

-- One row, or none where there is no snapshot to begin with, or changes since it were dropped. Levels in no order.
CREATE FUNCTION recorded_book(the_ticker TEXT, at TIMESTAMPTZ) RETURNS TABLE (
    based_on TIMESTAMPTZ, source TEXT, changes BIGINT, yes_sides BOOLEAN [], prices_e6 INTEGER [], sizes_e2 BIGINT []
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    oldest_base CONSTANT TIMESTAMPTZ :=
        dropped_through + latest_stamp() FROM chunked_tables WHERE table_name = 'orderbook_deltas';
    base orderbook_snapshots := last_snapshot(the_ticker, oldest_base, at);
    disagree BOOLEAN; -- clocks and times
BEGIN
    IF base.ticker IS NULL THEN
        RETURN;
    END IF;
    based_on := base.snapshot_ts;
    source := base.source;
    -- Nearly always the clocks after the snapshot are higher than its own and those before are not, and that is all.
    SELECT
        coalesce(sum(level.changes), 0), coalesce(bool_or(level.disagree), FALSE),
        array_agg(level.yes_side), array_agg(level.price_e6), array_agg(level.size_e2)
    INTO changes, disagree, yes_sides, prices_e6, sizes_e2
    FROM (
        SELECT
            change.yes_side, change.price_e6, sum(change.size_e2)::BIGINT AS size_e2, sum(change.changes) AS changes,
            bool_or(change.disagrees) AS disagree
        FROM (
            SELECT yes_side, price_e6, size_e2, 0 AS changes, FALSE AS disagrees FROM levels_of(base)
            UNION ALL
            SELECT d.yes_side, d.price_e6, d.delta_e2, 1, d.clock <= base.clock OR d.ts_missing
            FROM orderbook_deltas AS d
            WHERE d.ticker = the_ticker AND d.exchange_ts > base.snapshot_ts AND d.exchange_ts <= at
        ) AS change
        GROUP BY change.yes_side, change.price_e6
    ) AS level;
    IF base.clock < 0 THEN
        RETURN NEXT;
        RETURN;
    END IF;
    IF NOT disagree AND NOT EXISTS (
        SELECT FROM orderbook_deltas AS d
        WHERE d.ticker = the_ticker AND d.clock > base.clock
            AND d.exchange_ts > base.snapshot_ts - latest_stamp() AND d.exchange_ts <= base.snapshot_ts
    ) THEN
        RETURN NEXT;
        RETURN;
    END IF;
    base := without_late_ones(base, oldest_base);
    based_on := base.snapshot_ts;
    SELECT
        coalesce(sum(level.changes), 0), array_agg(level.yes_side), array_agg(level.price_e6), array_agg(level.size_e2)
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
    RETURN NEXT;
END
$$;

-- What is known of a market at a time; a database that holds nobody's journals knows nothing of holes.
CREATE FUNCTION knowledge_of_book(the_ticker TEXT, at TIMESTAMPTZ)
RETURNS TABLE (state TEXT, known_until TIMESTAMPTZ, hole TSTZRANGE)
LANGUAGE sql STABLE AS $$
    SELECT 'unknown', NULL::TIMESTAMPTZ, NULL::TSTZRANGE
$$;

-- The book of a market as the exchange had it at a moment, and whether that is certain: `state` is complete, hole (nobody
-- heard all of it then) or unknown (not yet, or not any more), and nothing is certain after known_until.
DROP FUNCTION best_prices (TEXT, TIMESTAMPTZ);
DROP FUNCTION order_book (TEXT, TIMESTAMPTZ);
CREATE FUNCTION order_book(the_ticker TEXT, at TIMESTAMPTZ) RETURNS TABLE (
    side TEXT, price NUMERIC, contracts NUMERIC, price_e6 INTEGER, size_e2 BIGINT,
    state TEXT, known_until TIMESTAMPTZ, based_on TIMESTAMPTZ, changes BIGINT
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    book RECORD;
    known RECORD;
BEGIN
    SELECT * INTO book FROM recorded_book(the_ticker, at);
    IF FOUND THEN
        SELECT * INTO known FROM knowledge_of_book(the_ticker, at);
        RETURN QUERY
        SELECT
            readable.side(level.yes_side), readable.dollars(level.price_e6), readable.contracts(level.size_e2),
            level.price_e6, level.size_e2, known.state, known.known_until, book.based_on, book.changes
        FROM unnest(book.yes_sides, book.prices_e6, book.sizes_e2) AS level (yes_side, price_e6, size_e2)
        WHERE level.size_e2 > 0
        ORDER BY level.yes_side DESC, level.price_e6;
    END IF;
END
$$;

-- The same of the book as a whole, also of an empty one. No row: there is no book of then.
CREATE FUNCTION book_facts(the_ticker TEXT, at TIMESTAMPTZ) RETURNS TABLE (
    state TEXT, known_until TIMESTAMPTZ, hole TSTZRANGE, based_on TIMESTAMPTZ, source TEXT, changes BIGINT
)
LANGUAGE sql STABLE AS $$
    SELECT known.state, known.known_until, known.hole, book.based_on, book.source, book.changes
    FROM recorded_book(the_ticker, at) AS book CROSS JOIN knowledge_of_book(the_ticker, at) AS known
$$;

-- The best of that book. An ask is the other side's best bid, from the other end of the dollar; NULL: nobody bids.
CREATE FUNCTION best_prices(the_ticker TEXT, at TIMESTAMPTZ)
RETURNS TABLE (yes_bid NUMERIC, yes_ask NUMERIC, no_bid NUMERIC, no_ask NUMERIC, state TEXT)
LANGUAGE sql STABLE AS $$
    SELECT best.yes, 1 - best.no, best.no, 1 - best.yes, known.state
    FROM (
        SELECT max(price) FILTER (WHERE side = 'yes') AS yes, max(price) FILTER (WHERE side = 'no') AS no
        FROM order_book(the_ticker, at)
    ) AS best
    CROSS JOIN knowledge_of_book(the_ticker, at) AS known
$$;
