-- squawk-ignore-file require-concurrent-index-creation
-- unproven_ends() asks for the markets that closed in an hour: of a million it reads those alone.
CREATE INDEX markets_close_time ON markets (close_time);
