-- squawk-ignore-file ban-drop-constraint, constraint-missing-not-valid
-- Trades are also fetched because somebody asked for them: that is a repair like the others.
ALTER TABLE trade_repairs DROP CONSTRAINT trade_repairs_reason_check;
ALTER TABLE trade_repairs ADD CONSTRAINT trade_repairs_reason_check CHECK (reason IN ('hole', 'volume', 'asked'));
