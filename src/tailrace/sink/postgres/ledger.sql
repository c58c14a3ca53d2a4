SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('tailrace.position'));
DO $$ BEGIN
    -- IF NOT EXISTS would ask for the right to create even when it exists.
    IF pg_catalog.to_regnamespace('tailrace') IS NULL THEN
        CREATE SCHEMA tailrace;
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS tailrace.position (
    name text NOT NULL,
    lineage text NOT NULL,
    epoch bigint NOT NULL,
    text text COLLATE "C",
    saved_at timestamp with time zone,
    holder integer NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    PRIMARY KEY (name, lineage)
);
CREATE TABLE IF NOT EXISTS tailrace.replayed (
    name text NOT NULL,
    lineage text NOT NULL,
    position text COLLATE "C" NOT NULL,
    PRIMARY KEY (name, lineage, position)
);
