-- What each pipeline knows of the tables that it fills.
SELECT pg_advisory_xact_lock(hashtext('tailrace.position'));
CREATE SCHEMA IF NOT EXISTS tailrace;
CREATE TABLE IF NOT EXISTS tailrace.target (
    pipeline text NOT NULL,
    table_schema text NOT NULL,
    table_name text NOT NULL,
    key text[] NOT NULL,
    columns jsonb NOT NULL,
    shared boolean NOT NULL,
    attempt text,
    complete boolean NOT NULL,
    PRIMARY KEY (pipeline, table_schema, table_name)
)
