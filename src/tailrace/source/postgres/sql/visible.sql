-- Whether others see what a transaction that has committed in the log has done: it holds the lock of its own number until
-- after they do. With a synchronous standby that may be long after the log has it.
SELECT NOT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted AND transactionid = %(xid)s::xid
)
