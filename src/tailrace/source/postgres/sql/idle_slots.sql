-- Slots that look like ours, that nobody reads now, and that are not among those with an owner; the costliest first.
-- Since when is known from 17 on, and why one was invalidated from 16 or 17 on, hence the detour by JSON.
SELECT s.slot_name::text, s.database::text,
       coalesce(pg_wal_lsn_diff(
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END,
           s.restart_lsn), 0)::int8 AS retained,
       to_char((to_jsonb(s) ->> 'inactive_since')::timestamptz, 'YYYY-MM-DD HH24:MI "UTC"'),
       coalesce(to_jsonb(s) ->> 'invalidation_reason',
                CASE WHEN to_jsonb(s) ->> 'conflicting' = 'true' THEN 'conflict with recovery'
                     WHEN s.wal_status = 'lost' THEN 'wal_removed' END)
FROM pg_replication_slots AS s
WHERE s.slot_type = 'logical' AND s.plugin = 'pgoutput' AND s.slot_name LIKE 'tailrace\_%%'
  AND NOT s.active AND NOT s.temporary AND NOT coalesce((to_jsonb(s) ->> 'synced')::bool, false)
  AND s.slot_name <> ALL (%(slots)s::text[])
ORDER BY retained DESC, s.slot_name
