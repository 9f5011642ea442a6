-- Endpoints of whose trouble a channel was told, or will be once what holds its notice ends.
SELECT endpoint_id FROM alerts WHERE told <> 'Up'
UNION
SELECT endpoint_id FROM notices WHERE state = 'waiting' AND hold IS NOT NULL
