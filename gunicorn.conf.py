# Settings of `gunicorn admin:app`. The address is gunicorn's default, 127.0.0.1:8000; another one: --bind.
from admin.server import refuse_several_processes

worker_class = "admin.server.AdminWorker"
logger_class = "admin.server.AdminLogger"
workers = 1  # sessions of people who are logged in live in its memory
timeout = 60  # a worker that hangs for longer is replaced
graceful_timeout = 30
control_socket_disable = True  # signals do
on_starting = refuse_several_processes
