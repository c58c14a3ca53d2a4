-- Transactions that have run for a while: a new slot waits for them to end.
SELECT pid, (extract(epoch FROM now() - xact_start))::int
FROM pg_stat_activity
WHERE backend_xid IS NOT NULL AND xact_start < now() - make_interval(secs => %(older_s)s) AND datname = current_database()
ORDER BY xact_start
LIMIT 3
