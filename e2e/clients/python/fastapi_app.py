"""A FastAPI application watched by the published `api-analytics` or `fastapi-analytics` package."""

import os
import time

import uvicorn
from api_analytics.fastapi import Analytics, Config
from configuration import configured
from fastapi import FastAPI, Response

app = FastAPI()
app.add_middleware(
    Analytics,
    api_key=os.environ["API_KEY"],
    config=configured(Config),
)


@app.get("/ok")
def ok():
    return {"status": "ok"}


@app.get("/search")
def search(q: str = ""):
    return {"q": q}


@app.get("/slow")
def slow():
    time.sleep(0.12)
    return {"status": "ok"}


@app.get("/poke/{number}")
def poke(number: int):
    return {"number": number}


@app.post("/items", status_code=201)
def create_item():
    return {"id": 7}


@app.put("/users/update")
def update_user():
    return {"status": "ok"}


@app.delete("/items/7", status_code=204)
def delete_item():
    return Response(status_code=204)


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning"
    )
