-- The coverage of every market by hour and channel. What a program reads lies in the schema of its tables: an account may
-- have no right to use the readable one, which is for people.
CREATE VIEW coverage_of_markets AS
SELECT hour, ticker, channel, state, holes, repaired, repaired_by, period, known_until FROM readable.coverage;
