"""Migrations, as data: app.storage.migrations applies them."""
