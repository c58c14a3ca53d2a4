-- The end of the log, and how much of it a slot keeps.
SELECT (log_end - '0/0'::pg_lsn)::int8, (log_end - s.restart_lsn)::int8
FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END) AS w (log_end)
LEFT JOIN pg_replication_slots AS s ON s.slot_name = $1
