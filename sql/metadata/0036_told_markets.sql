-- A market that REST shows no more leaves a row with what the stream and the clock told of it, and without details.
-- What REST showed before stays: only the end of the market's life is new.

CREATE FUNCTION complete_told_market() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
DECLARE
    known markets;
BEGIN
    SELECT * INTO known FROM markets WHERE ticker = NEW.ticker;
    IF FOUND THEN
        known.ingest_id := NEW.ingest_id;
        known.status := NEW.status;
        known.result := NEW.result;
        known.close_time := NEW.close_time;
        known.updated_time := NEW.updated_time;
        known.updated_at := NEW.updated_at;
        RETURN known;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER complete_told_market BEFORE INSERT ON markets
FOR EACH ROW WHEN (NEW.details = 'null'::JSONB) EXECUTE FUNCTION complete_told_market();
