import json


class Report:
    """Prints figures, each with its bar if it has one, and remembers whether all bars were reached."""

    def __init__(self, bench: str) -> None:
        self.bench = bench
        self.ok = True

    def __call__(self, figure, value, unit, bar=None, at_least=True, **conditions):
        ok = bar is None or (value >= bar if at_least else value <= bar)
        self.ok = self.ok and ok
        line = {"bench": self.bench, "figure": figure, "value": round(value, 4), "unit": unit, "bar": bar, "ok": ok}
        print(json.dumps({**line, "conditions": conditions}), flush=True)
