"""A Flask application watched by the published `api-analytics` package."""

import os
import time

from api_analytics.flask import Config, add_middleware
from configuration import configured
from flask import Flask, request
from werkzeug.serving import make_server

app = Flask(__name__)
add_middleware(app, os.environ["API_KEY"], configured(Config))


@app.get("/ok")
def ok():
    return {"status": "ok"}


@app.get("/search")
def search():
    return {"q": request.args.get("q", "")}


@app.get("/slow")
def slow():
    time.sleep(0.12)
    return {"status": "ok"}


@app.get("/poke/<int:number>")
def poke(number):
    return {"number": number}


@app.post("/items")
def create_item():
    return {"id": 7}, 201


@app.put("/users/update")
def update_user():
    return {"status": "ok"}


@app.delete("/items/7")
def delete_item():
    return "", 204


if __name__ == "__main__":
    make_server("127.0.0.1", int(os.environ["PORT"]), app).serve_forever()
