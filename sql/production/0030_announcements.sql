-- Lifecycle messages carry no time of their own and may be repeated to the letter. Which of them are copies of one event
-- follows from who heard them: app/merge/announcements.py. NULL: merged before this was kept.
ALTER TABLE lifecycle_events ADD COLUMN copies JSONB;
