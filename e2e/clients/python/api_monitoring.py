"""A program that uses api-monitoring-system's API with `requests`, as its README has it.

    api_monitoring.py URL TARGET       the key comes in API_KEY

Prints the statuses of its calls and whether its check of TARGET was good, as a line of JSON.
"""

import json
import os
import sys

import requests

URL, TARGET = sys.argv[1:]
session = requests.Session()
statuses = []


def call(method, path, **how):
    response = session.request(method, f"{URL}{path}", timeout=60, **how)
    assert response.headers["X-Request-ID"], path
    statuses.append(response.status_code)
    return response.json() if response.content else None


# An endpoint that is not active: only its manual check asks the target.
endpoint = {
    "name": "Example API",
    "url": TARGET,
    "method": "GET",
    "interval": 60,
    "timeout": 5,
    "expected_status": 200,
    "headers": {"User-Agent": "example"},
    "is_active": False,
}

refused = call("POST", "/api/v1/endpoints", json=endpoint)
assert refused["detail"] == "API key missing", refused
session.headers["X-API-Key"] = os.environ["API_KEY"]

made = call("POST", "/api/v1/endpoints", json=endpoint)
for field, value in endpoint.items():
    assert made[field] == value, (field, made)
path = f"/api/v1/endpoints/{made['id']}"
assert call("GET", path) == made
listed = call("GET", "/api/v1/endpoints", params={"skip": 0, "limit": 10})
assert listed["total"] == 1 and listed["endpoints"][0]["id"] == made["id"], listed
changed = call("PUT", path, json={"interval": 120})
assert changed["interval"] == 120 and changed["url"] == TARGET, changed

checked = call("POST", f"{path}/check", json={"use_retry": True})
history = call("GET", f"/api/v1/stats/history/{made['id']}", params={"limit": 5})
assert history["total"] == 1 and history["checks"][0]["status_code"] == 200, history
uptime = call("GET", f"/api/v1/stats/uptime/{made['id']}", params={"period": "24h"})
assert uptime["uptime_percentage"] == 100.0 and uptime["total_checks"] == 1, uptime
summary = call("GET", "/api/v1/stats/summary")
assert summary["total_endpoints"] == 1 and summary["inactive_endpoints"] == 1, summary

again = call("POST", "/api/v1/endpoints", json=endpoint)
assert again["detail"] == "Endpoint with name 'Example API' already exists", again
wrong = call("PUT", path, json={"interval": 9})
assert wrong["detail"][0]["loc"] == ["body", "interval"], wrong
call("DELETE", path)
gone = call("GET", path)
assert gone["detail"] == f"Endpoint {made['id']} not found", gone

print(json.dumps({"statuses": statuses, "success": checked["success"]}))
