-- A row from quarantine may need a chunk that is not there, and only the tables' owner makes those: whoever is granted this
-- function makes them in the owner's name.
ALTER FUNCTION ensure_chunk (TEXT, TIMESTAMPTZ) SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION ensure_chunk (TEXT, TIMESTAMPTZ) FROM PUBLIC;
