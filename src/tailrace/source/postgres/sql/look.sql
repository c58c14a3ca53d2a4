-- In one snapshot with what is read after it: transactions in progress. What is visible lies before the end of the log.
SELECT ARRAY(SELECT x::text::int8 FROM pg_snapshot_xip(pg_current_snapshot()) AS x)
