"""A website and its owner, as the README of site-analytics has them: the first reports views with
`requests`, the second reads them back.

    site_analytics.py URL report|read       the secret comes in SECRET

Prints what was answered, a line of JSON for each call.
"""

import json
import os
import sys

import requests

URL, WHAT = sys.argv[1:]
HEADERS = {"Authorization": os.environ["SECRET"]}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def show(response):
    print(json.dumps({"status": response.status_code, "text": response.text}))


def post(headers=HEADERS, **how):
    show(requests.post(f"{URL}/api/v1/traffic", headers=headers, timeout=30, **how))


def get(name, headers=HEADERS, **params):
    show(requests.get(f"{URL}/api/v1/data/{name}", headers=headers, params=params, timeout=30))


def report():
    # As `params`, as the first README has it.
    post(params={"url": "/", "ip_addr": "127.0.0.1", "user_agent": GOOGLEBOT})
    # As `json`, with the name that the server of that time wants.
    post(json={"url": "/post?id=1&x=%20", "ip_address": "8.8.8.8", "user_agent": FIREFOX})
    # As a batch, with times.
    views = [("/", "8.8.8.8", "2023-11-14T12:00:00"), ("/", "1234", "2023-11-14T12:00:00.123456")]
    post(json={"traffic": [
        {"url": url, "ip_address": ip, "user_agent": FIREFOX, "timestamp": time} for url, ip, time in views
    ]})
    post(headers={"Authorization": "Bearer " + HEADERS["Authorization"]}, params={"url": "/"})
    post(json={"url": "/"})


def read():
    dates = {"start_date": "2020-10-10", "end_date": "2099-3-15"}
    get("users", **dates)
    get("views", **dates)
    for name in ["countries", "cities", "urls", "hostnames"]:
        for classification in ["USER", "BOT"]:
            get(name, classification=classification, **dates)
    get("users", headers={}, **dates)
    get("urls", **dates)


{"report": report, "read": read}[WHAT]()
