-- An endpoint is found by the name that others depend on.
CREATE INDEX endpoints_by_name ON endpoints (namespace, name);

-- What an endpoint's next change looks at is found however many notices its earlier ones have left: those that
-- wait with a hold, those that are ahead of another, and the first of each trouble. Dead letters are counted often.
CREATE INDEX notices_held ON notices (endpoint_id) WHERE state = 'waiting' AND hold IS NOT NULL;
CREATE INDEX notices_ahead ON notices (endpoint_id, channel, id) WHERE state IN ('waiting', 'sending');
CREATE INDEX notices_by_episode ON notices (endpoint_id, channel, episode, id);
CREATE INDEX notices_dead ON notices (id) WHERE state = 'dead';
DROP INDEX notices_by_endpoint;
