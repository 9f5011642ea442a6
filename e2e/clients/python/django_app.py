"""A Django application, in one file, watched by the published `api-analytics` package."""

import os
import time
from wsgiref.simple_server import make_server

from api_analytics.django import Config
from configuration import configured
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ANALYTICS_API_KEY=os.environ["API_KEY"],
    ANALYTICS_CONFIG=configured(Config),
    MIDDLEWARE=["api_analytics.django.Analytics"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
)


def ok(request):
    return JsonResponse({"status": "ok"})


def search(request):
    return JsonResponse({"q": request.GET.get("q", "")})


def slow(request):
    time.sleep(0.12)
    return JsonResponse({"status": "ok"})


def poke(request, number):
    return JsonResponse({"number": number})


def create_item(request):
    return JsonResponse({"id": 7}, status=201)


def delete_item(request):
    return HttpResponse(status=204)


urlpatterns = [
    path("ok", ok),
    path("search", search),
    path("slow", slow),
    path("poke/<int:number>", poke),
    path("items", create_item),
    path("items/7", delete_item),
    path("users/update", ok),
]

if __name__ == "__main__":
    server = make_server("127.0.0.1", int(os.environ["PORT"]), get_wsgi_application())
    server.serve_forever()
