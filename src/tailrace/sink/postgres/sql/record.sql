-- What each pipeline knows of the tables that it fills.
SELECT pg_advisory_xact_lock(hashtext('tailrace.position'));
DO $$ BEGIN
    -- IF NOT EXISTS would ask for the right to create even when it exists.
    IF pg_catalog.to_regnamespace('tailrace') IS NULL THEN
        CREATE SCHEMA tailrace;
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS tailrace.target (
    pipeline text NOT NULL,
    table_schema text NOT NULL,
    table_name text NOT NULL,
    key text[] NOT NULL,
    columns jsonb NOT NULL,
    shared boolean NOT NULL,
    attempt text,
    complete boolean NOT NULL,
    source text NOT NULL,
    source_oid oid,
    PRIMARY KEY (pipeline, table_schema, table_name)
)
