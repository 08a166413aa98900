"""The admin service in this process, and how it is asked."""

from admin.application import service
from app.runtime.threads import inline
from app.settings import Settings


def service_of(dsn, tokens=None, gatherer_ops=None):
    app = service(Settings(production_dsn=dsn, admin_tokens=tokens, gatherer_ops=gatherer_ops), inline)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


class Asked:
    def __init__(self, app, token=None, dsn=None):
        self.dsn = dsn
        self._client = app.test_client()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method, path, headers=None, **options):
        return self._client.open(
            path, method=method, headers={**self._headers, **(headers or {})}, buffered=True, **options
        )

    def get(self, path, **options):
        return self.ask("GET", path, **options)

    def json(self, path, **query):
        answer = self.get(path, query_string=query)
        assert answer.status_code == 200, answer.text
        return answer.json

    def post(self, path, body=None, **options):
        return self.ask("POST", path, json=body, **options)
