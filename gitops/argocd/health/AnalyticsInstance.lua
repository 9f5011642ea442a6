-- Health of an AnalyticsInstance, from its conditions.
local function health(status, message)
  return {status = status, message = message}
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "being deleted")
end
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration == nil then
  return health("Progressing", "waiting for the operator")
end
-- What the conditions say is about an older spec.
if obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not seen the newest spec yet")
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local function holds(kind, value)
  return conditions[kind] ~= nil and conditions[kind].status == value
end

if holds("Paused", "True") then
  return health("Suspended", conditions.Paused.message)
end
if holds("Degraded", "True") then
  return health("Degraded", conditions.Degraded.message)
end
if holds("Progressing", "True") then
  return health("Progressing", conditions.Progressing.message)
end
for _, way_in in ipairs({"CertificateReady", "RouteReady"}) do
  if holds(way_in, "False") then
    return health("Progressing", conditions[way_in].message)
  end
end
if holds("Ready", "True") then
  return health("Healthy", conditions.Ready.message)
end
-- Everything is rolled out and still something does not answer.
if holds("Ready", "False") and holds("Progressing", "False") then
  return health("Degraded", conditions.Ready.message)
end
return health("Progressing", "waiting for the operator")
