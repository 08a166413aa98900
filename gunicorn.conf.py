# Settings of `gunicorn admin:app`. The address is gunicorn's default, 127.0.0.1:8000; another one: --bind.
worker_class = "admin.server.AdminWorker"
workers = 1
timeout = 60  # a worker that hangs for longer is replaced
graceful_timeout = 30
control_socket_disable = True  # signals do
