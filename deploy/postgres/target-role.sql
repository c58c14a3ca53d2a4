-- The least that Tailrace needs on a target. Run it in the target's database, as a superuser:
--
--   psql -d replica -v role=tailrace -v schema=public -f target-role.sql
--
-- then give the role a password (\password tailrace). Tables that Tailrace makes belong to the role; one that is there
-- already must be given to it (ALTER TABLE ... OWNER TO tailrace), or else granted: `tailrace check` prints how.
\set ON_ERROR_STOP on
\if :{?role} \else \set role tailrace \endif
\if :{?schema} \else \set schema public \endif
SELECT current_setting('server_version_num')::int >= 150000 AS parameters_can_be_granted \gset

SELECT format('CREATE ROLE %I LOGIN', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'role') \gexec

-- Positions, and what is known of the tables.
CREATE SCHEMA IF NOT EXISTS tailrace AUTHORIZATION :"role";
-- The tables themselves. CREATE is not needed where all of them exist.
GRANT USAGE, CREATE ON SCHEMA :"schema" TO :"role";

-- Neither triggers nor foreign keys act on what was checked at the source.
\if :parameters_can_be_granted
GRANT SET ON PARAMETER session_replication_role TO :"role";
\else
ALTER ROLE :"role" SET session_replication_role = 'replica';
\endif

-- What is written is marked, so that a pipeline the other way leaves it out (origin = "none").
GRANT EXECUTE ON FUNCTION
    pg_replication_origin_create(text),
    pg_replication_origin_drop(text),
    pg_replication_origin_oid(text),
    pg_replication_origin_session_is_setup(),
    pg_replication_origin_session_reset(),
    pg_replication_origin_session_setup(text),
    pg_replication_origin_xact_setup(pg_lsn, timestamp with time zone)
TO :"role";
