-- squawk-ignore-file ban-drop-constraint, adding-serial-primary-key-field, constraint-missing-not-valid
-- Each production that reads this gatherer confirms for itself: nothing is dropped that one of them has not.

ALTER TABLE confirmations
ADD COLUMN production TEXT COLLATE "C" NOT NULL DEFAULT '', -- its server's identifier and its name; '': from before they were told apart
DROP CONSTRAINT confirmations_pkey,
ADD PRIMARY KEY (production, table_name);
