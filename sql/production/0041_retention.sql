-- squawk-ignore-file require-concurrent-index-creation
-- What is old is found without reading what is not: app/coverage/retention.py
CREATE INDEX gatherer_subscriptions_ended_at ON gatherer_subscriptions (ended_at) WHERE ticker <> '' AND ended_at IS NOT NULL;
