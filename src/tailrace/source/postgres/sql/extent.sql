-- The end of the log, how much of it a slot keeps, and, if one is named, what a publication sends, with the partitions that
-- come in the name of a table above them. Row filters and column lists exist from 15 on, hence the detour by JSON; generated
-- columns are sent from 18 on, where a publication says so. From 16 on the server locks a table to tell what of it is sent. Columns are compared only
-- where there is a list: of thousands of tables that takes as long as all the rest. ATTACH writes all columns of a partition
-- anew with its link to the table above, and PARTITION OF has written them before; and a partition comes along with one that
-- is attached after it was made below that. What was written later has the smaller number: age, then command. An age below
-- 0 is one of 2^31 transactions.
SELECT (log_end - '0/0'::pg_lsn)::int8, (log_end - s.restart_lsn)::int8, CASE WHEN $2::text IS NOT NULL THEN (
    WITH RECURSIVE lists AS MATERIALIZED (
        SELECT EXISTS (
            SELECT FROM pg_publication_rel AS r
            JOIN pg_publication AS p ON p.oid = r.prpubid
            WHERE p.pubname = $2 AND to_jsonb(r) ->> 'prattrs' IS NOT NULL
        ) AS present
    ), sent AS MATERIALIZED (
        SELECT c.oid, c.relkind, n.nspname, c.relname, to_jsonb(t) ->> 'rowfilter' AS row_filter,
               CASE WHEN (SELECT present FROM lists) THEN (
            SELECT coalesce(jsonb_object_agg(a.attnum::text, a.attname), '{}')
            FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              AND (a.attgenerated = '' OR a.attgenerated = 's' AND to_jsonb(p) ->> 'pubgencols' = 's')
              AND NOT to_jsonb(t) -> 'attnames' ? a.attname::text
        ) ELSE '{}' END AS left_out
        FROM pg_publication_tables AS t
        JOIN pg_publication AS p ON p.pubname = t.pubname
        JOIN pg_namespace AS n ON n.nspname = t.schemaname
        JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.tablename
        WHERE t.pubname = $2
    ), link AS NOT MATERIALIZED (
        SELECT i.inhparent AS parent, i.inhrelid AS oid,
               nullif(greatest(age(i.xmin), -1), -1)::int8 * 4294967296 - i.cmin::text::int8 AS written
        FROM pg_inherits AS i
    ), below AS (
        SELECT s.oid AS root, l.oid, l.written, NULL::int8 AS above
        FROM sent AS s JOIN link AS l ON l.parent = s.oid
        WHERE s.relkind = 'p'
        UNION ALL
        SELECT b.root, l.oid, l.written, least(b.above, b.written) FROM below AS b JOIN link AS l ON l.parent = b.oid
    )
    SELECT jsonb_build_object(
        'operations', ARRAY(
            SELECT o.name
            FROM (VALUES ('INSERT', p.pubinsert), ('UPDATE', p.pubupdate), ('DELETE', p.pubdelete),
                         ('TRUNCATE', p.pubtruncate)) AS o (name, sent)
            WHERE o.sent
        ),
        'tables', (
            SELECT coalesce(jsonb_object_agg(s.oid::text, jsonb_build_array(
                s.nspname, s.relname, s.row_filter, s.left_out
            )), '{}')
            FROM sent AS s
        ),
        'partitions', (
            SELECT coalesce(jsonb_object_agg(c.oid::text, jsonb_build_array(
                b.root::text, n.nspname || '.' || c.relname, coalesce(b.above < b.written, false) OR NOT EXISTS (
                    SELECT FROM pg_attribute AS a
                    WHERE a.attrelid = c.oid AND a.attinhcount > 0
                      AND age(a.xmin)::int8 * 4294967296 - a.cmin::text::int8 > b.written
                )
            )), '{}')
            FROM below AS b
            JOIN pg_class AS c ON c.oid = b.oid AND c.relkind = 'r'
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
        ),
        'there', ARRAY(
            SELECT k.oid || '.' || a.attnum
            FROM jsonb_each($3::jsonb) AS k (oid, numbers)
            JOIN pg_attribute AS a ON a.attrelid = k.oid::oid AND k.numbers ? a.attnum::text AND NOT a.attisdropped
        ),
        'newest', (SELECT max(c.oid)::int8 FROM pg_class AS c)
    )::text
    FROM pg_publication AS p
    WHERE p.pubname = $2
) END
FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END) AS w (log_end)
LEFT JOIN pg_replication_slots AS s ON s.slot_name = $1
