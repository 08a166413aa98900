"""Migrations, as data: app.store.migrations applies them."""
