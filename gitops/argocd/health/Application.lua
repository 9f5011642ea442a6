-- Health of an Application inside another one: its own, so that the next wave waits for it.
local health = {status = "Progressing", message = "waiting for its first sync"}
if obj.status ~= nil and obj.status.health ~= nil and obj.status.health.status ~= nil then
  health.status = obj.status.health.status
  health.message = obj.status.health.message or ""
end
return health
