# Settings of `gunicorn admin:app`. The address is gunicorn's default, 127.0.0.1:8000; another one: --bind.
worker_class = "gevent"
workers = 1
graceful_timeout = 30
