-- Transactions that were prepared a while ago, of whatever database: a new slot waits for them to end.
SELECT gid, database, (extract(epoch FROM now() - prepared))::int, quote_literal(gid)
FROM pg_prepared_xacts
WHERE prepared < now() - make_interval(secs => %(older_s)s)
ORDER BY prepared
LIMIT 3
