from prometheus_client import Counter, Histogram

REQUEST_SECONDS = Histogram(
    "kalshi_admin_request_seconds",
    "Time that requests to the admin service took until their answer began, by endpoint.",
    ["endpoint"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REQUESTS = Counter("kalshi_admin_requests_total", "Requests to the admin service, by class of its answer.", ["answer"])
REFUSED_REQUESTS = Counter(
    "kalshi_admin_refused_requests_total",
    "Requests that the admin service refused for who sent them: by which rule.",
    ["cause"],
)
