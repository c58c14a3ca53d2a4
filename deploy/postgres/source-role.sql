-- The least that Tailrace needs on a source. Run it in the source's database, as a superuser or as the owner of the
-- tables who may also create roles and publications:
--
--   psql -d shop -v role=tailrace -v schema=public -v publication=tailrace -f source-role.sql
--
-- then give the role a password (\password tailrace), and name the publication in the pipeline: publication = "tailrace",
-- create = false. Run it again when tables were added.
\set ON_ERROR_STOP on
\if :{?role} \else \set role tailrace \endif
\if :{?schema} \else \set schema public \endif
\if :{?publication} \else \set publication tailrace \endif

SELECT format('CREATE ROLE %I LOGIN REPLICATION', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'role') \gexec

-- The snapshot reads the tables; `tailrace cutover` reads the sequences.
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT ON ALL TABLES IN SCHEMA :"schema" TO :"role";
GRANT SELECT ON ALL SEQUENCES IN SCHEMA :"schema" TO :"role";

SELECT format('CREATE PUBLICATION %I WITH (publish_via_partition_root = true)', :'publication')
WHERE NOT EXISTS (SELECT FROM pg_publication WHERE pubname = :'publication') \gexec
SELECT format('ALTER PUBLICATION %I SET TABLE %s', :'publication', string_agg(format('%I.%I', n.nspname, c.relname), ', '))
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = :'schema' AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition
HAVING count(*) > 0 \gexec
