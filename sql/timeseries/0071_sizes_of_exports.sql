-- How large each object of the lake is, for people who look at the lake's page.
ALTER TABLE exports
ADD COLUMN size_bytes BIGINT; -- NULL: not known, it was written before this was noted
