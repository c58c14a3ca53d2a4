-- One slot. Its fate is told by wal_status (13), conflicting (16) and invalidation_reason (17), hence the detour by JSON.
SELECT s.slot_type, s.plugin, s.database, s.active_pid, s.confirmed_flush_lsn::text, s.wal_status,
       coalesce(to_jsonb(s) ->> 'invalidation_reason',
                CASE WHEN to_jsonb(s) ->> 'conflicting' = 'true' THEN 'conflict with recovery'
                     WHEN s.wal_status = 'lost' THEN 'wal_removed' END),
       coalesce((to_jsonb(s) ->> 'two_phase')::bool, false),
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END,
                       s.restart_lsn)::int8,
       s.temporary, coalesce((to_jsonb(s) ->> 'failover')::bool, false), coalesce((to_jsonb(s) ->> 'synced')::bool, false)
FROM pg_replication_slots AS s
WHERE s.slot_name = %(slot)s
