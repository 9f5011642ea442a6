-- Health of a MonitoredEndpoint: whether it is watched. Whether it is up is for its alerts to say,
-- or else an outage of somebody else's server would hold up every deployment.
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

if holds("Degraded", "True") then
  return health("Degraded", conditions.Degraded.message)
end
if holds("Accepted", "False") then
  return health("Degraded", conditions.Accepted.message)
end
if holds("Ready", "True") then
  if obj.spec.suspended then
    return health("Suspended", "spec.suspended is set")
  end
  local message = "watched"
  if status.state ~= nil then
    message = "watched; it is " .. status.state
  end
  return health("Healthy", message)
end
if holds("Ready", "False") then
  return health("Progressing", conditions.Ready.message)
end
return health("Progressing", "waiting for the operator")
