"""A Tornado application watched by the published `api-analytics` or `tornado-analytics` package."""

import asyncio
import os

from api_analytics.tornado import Analytics, Config
from configuration import configured
from tornado.web import Application

CONFIG = configured(Config)


class Watched(Analytics):
    def __init__(self, application, request):
        super().__init__(application, request, os.environ["API_KEY"], CONFIG)


class Ok(Watched):
    def get(self, *_arguments):
        self.write({"status": "ok"})

    put = get


class Slow(Watched):
    async def get(self):
        await asyncio.sleep(0.12)
        self.write({"status": "ok"})


class Items(Watched):
    def post(self):
        self.set_status(201)
        self.write({"id": 7})


class Item(Watched):
    def delete(self):
        self.set_status(204)


class Missing(Watched):
    """The client sees only what its own handlers handle."""

    def prepare(self):
        super().prepare()
        self.send_error(404)


async def main():
    handlers = [
        ("/ok", Ok),
        ("/search", Ok),
        ("/users/update", Ok),
        (r"/poke/(\d+)", Ok),
        ("/slow", Slow),
        ("/items", Items),
        ("/items/7", Item),
    ]
    application = Application(handlers, default_handler_class=Missing)
    application.listen(int(os.environ["PORT"]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
