"""Something else that happens between any two statements of a connection."""

import psycopg2.extensions


class Interrupting:
    def __init__(self, interruption, only_before=None):
        """Before every statement, or only before the one of this number."""
        self.interruptions = 0
        self.statements = 0
        self._interruption = interruption
        self._only_before = only_before
        self._is_at_it = False

    @property
    def cursor_factory(self):
        owner = self

        class Cursor(psycopg2.extensions.cursor):
            def execute(self, query, parameters=None):
                owner.before_a_statement()
                return super().execute(query, parameters)

        return Cursor

    def before_a_statement(self):
        if self._is_at_it:
            return
        self.statements += 1
        if self._only_before in {None, self.statements}:
            self.interruptions += 1
            self._is_at_it = True
            try:
                self._interruption()
            finally:
                self._is_at_it = False
