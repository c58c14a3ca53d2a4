"""PostgreSQL: sessions in one known state, the libpq beneath them, and its errors as ours. Never reads a row."""
