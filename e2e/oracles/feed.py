"""Reads a feed from standard input as a feed reader does, and prints what it found as JSON."""

import json
import sys

import feedparser

feed = feedparser.parse(sys.stdin.buffer.read())
if feed.bozo:
    sys.exit(f"malformed: {feed.bozo_exception}")
entries = [
    {
        "title": entry.title,
        "id": entry.id,
        "link": entry.link,
        "moment": (entry.get("updated_parsed") or entry.published_parsed)[:6],
        "html": entry.content[0].value if "content" in entry else entry.summary,
    }
    for entry in feed.entries
]
print(json.dumps({"version": feed.version, "title": feed.feed.title, "entries": entries}))
