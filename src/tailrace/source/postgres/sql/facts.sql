-- One row of what a check looks at on the server and the role.
SELECT current_user::text,
       current_database()::text,
       pg_backend_pid(),
       r.rolsuper OR r.rolreplication,
       r.rolsuper OR r.rolbypassrls,
       has_database_privilege(current_database(), 'CREATE'),
       r.rolsuper,
       current_setting('wal_level'),
       current_setting('max_replication_slots')::int,
       (SELECT count(*) FROM pg_replication_slots)::int,
       current_setting('max_wal_senders')::int,
       (SELECT count(*) FROM pg_stat_get_wal_senders())::int,
       current_setting('max_slot_wal_keep_size'),
       current_setting('idle_replication_slot_timeout', true),
       pg_is_in_recovery(),
       current_setting('server_encoding'),
       coalesce((SELECT s.ssl FROM pg_stat_ssl AS s WHERE s.pid = pg_backend_pid()), false),
       inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1'
FROM pg_roles AS r
WHERE r.rolname = current_user
