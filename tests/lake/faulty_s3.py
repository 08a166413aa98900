"""A bucket's server over HTTP that goes wrong when told to: moto's, behind a layer that breaks requests on their way."""

import base64
import hashlib
import threading
from contextlib import contextmanager
from io import BytesIO

import boto3
from botocore.config import Config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

BUCKET = "kalshi-test"
SLOW_SECONDS = 1.0


class FaultyS3:
    """Faults are functions of a request: a response to give instead, or None to let it pass."""

    def __init__(self):
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.faults = []
        self.seen = []

    def __call__(self, environment, start_response):
        content = environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
        environment["wsgi.input"] = BytesIO(content)
        request = Request(environment)
        self.seen.append((request.method, request.path, dict(request.args)))
        for fault in list(self.faults):
            response = fault(request)
            if response is not None:
                return response(environment, start_response)
        content = environment["wsgi.input"].getvalue()
        # What S3 does and moto does not.
        checksum = request.headers.get("x-amz-checksum-sha256")
        if checksum and base64.b64encode(hashlib.sha256(content).digest()).decode() != checksum:
            return error(400, "BadDigest")(environment, start_response)
        if is_completion(request) and (known := request.headers.get("If-Match")) and known != self._version(request):
            return error(412, "PreconditionFailed")(environment, start_response)
        return self._moto(environment, start_response)

    def _version(self, request):
        headers = {"Authorization": request.headers["Authorization"]}
        return Client(self._moto).head(request.path, headers=headers).headers.get("ETag")


def error(status, code):
    return Response(
        f"<Error><Code>{code}</Code><Message>broken on purpose</Message></Error>",
        status,
        content_type="application/xml",
    )


def is_put(request):
    return request.method == "PUT"


def is_part(request):
    return request.method == "PUT" and "partNumber" in request.args


def is_completion(request):
    return request.method == "POST" and "uploadId" in request.args


def fails(times, matches):
    """So many of the requests are answered by 500."""
    left = [times]

    def fault(request):
        if not matches(request) or not left[0]:
            return None
        left[0] -= 1
        return error(500, "InternalError")

    return fault


def corrupts(times, matches):
    """Of so many requests one bit flips on the way."""
    left = [times]

    def fault(request):
        if matches(request) and left[0]:
            left[0] -= 1
            content = bytearray(request.environ["wsgi.input"].getvalue())
            content[len(content) // 2] ^= 1
            request.environ["wsgi.input"] = BytesIO(bytes(content))

    return fault


def is_slow(matches):
    def fault(request):
        if matches(request):
            threading.Event().wait(SLOW_SECONDS)

    return fault


@contextmanager
def faulty_s3():
    server = FaultyS3()
    http = make_server("127.0.0.1", 0, server, threaded=True)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    server.endpoint = f"http://127.0.0.1:{http.server_port}"
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def client(endpoint, attempts=4, **config):
    how = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        request_checksum_calculation="when_required",
        **config,
    )
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        config=how,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the server takes any
    )
