"""What daphne serves: Django, all of it in one file."""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="none", DEBUG=False, MIDDLEWARE=[])


def named(text):
    """What a route answers: the resource, with what the path had in its places."""
    return lambda request, **places: HttpResponse(text.format(**places), content_type="text/plain")


urlpatterns = [
    path("", named("/")),
    path("pub/", named("/pub/")),
    path("pub/<path:rest>", named("/pub/{rest}")),
    path("docs/<str:name>", named("/docs/{name}")),
    path("admin", named("/admin/")),
    path("admin/", named("/admin/")),
    path("admin/<path:rest>", named("/admin/{rest}")),
    path("v/<str:item>/p", named("/v/{item}/p")),
]

application = get_asgi_application()
