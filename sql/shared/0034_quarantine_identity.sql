-- squawk-ignore-file require-concurrent-index-creation
-- What is in quarantine has an identity: a batch that is written twice, since nobody knew whether it was committed or since
-- it is replayed, is put aside once. A frame is what came at its moment; a row or an object of REST is what it says.
DELETE FROM quarantine AS later USING quarantine AS known
WHERE later.quarantine_id > known.quarantine_id
    AND md5(later.payload) = md5(known.payload)
    AND later.table_name IS NOT DISTINCT FROM known.table_name
    AND (later.table_name IS NOT NULL OR later.quarantined_at = known.quarantined_at);

CREATE UNIQUE INDEX quarantine_identity ON quarantine (
    md5(payload), coalesce(table_name, ''),
    (CASE WHEN table_name IS NULL THEN quarantined_at ELSE TIMESTAMPTZ '-infinity' END)
);
CREATE INDEX quarantine_quarantined_at ON quarantine (quarantined_at);

-- Whoever puts something aside, by COPY or not, in this release or an earlier one, need not know what is there already.
CREATE FUNCTION leave_out_what_is_in_quarantine() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM quarantine AS q
        WHERE md5(q.payload) = md5(NEW.payload) AND coalesce(q.table_name, '') = coalesce(NEW.table_name, '')
            AND CASE WHEN q.table_name IS NULL THEN q.quarantined_at ELSE TIMESTAMPTZ '-infinity' END
            = CASE WHEN NEW.table_name IS NULL THEN NEW.quarantined_at ELSE TIMESTAMPTZ '-infinity' END
    ) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER leave_out_what_is_there BEFORE INSERT ON quarantine
FOR EACH ROW EXECUTE FUNCTION leave_out_what_is_in_quarantine();
