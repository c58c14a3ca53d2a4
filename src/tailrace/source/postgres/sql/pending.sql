-- Transactions that have not ended: each holds the lock of its own number until after it can be seen. A snapshot would
-- not do, since it does not list those that began after the last one that ended.
SELECT ARRAY(
    SELECT DISTINCT transactionid::text::int8
    FROM pg_locks
    WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted
)
