-- A run of which nothing was known before counts only if it started later: it may have recorded in the state before.
ALTER TABLE gatherer_contacts
ADD COLUMN state_since TIMESTAMPTZ; -- when it last turned out to be another one, or an earlier state; NULL: never

-- What was found before this was kept was found by the last contact at the latest.
UPDATE gatherer_contacts SET state_since = contacted_at WHERE state_number > 0;
