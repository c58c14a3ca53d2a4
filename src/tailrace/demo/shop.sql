-- A small shop, and one function that is a transaction's worth of trade. `shop.mark` moves last, to tell that all is said.
CREATE SCHEMA shop;

CREATE TABLE shop.customers (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    email text NOT NULL,
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE shop.products (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    price numeric(10, 2) NOT NULL,
    stock integer NOT NULL
);

CREATE TABLE shop.orders (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    customer_id bigint NOT NULL REFERENCES shop.customers,
    status text NOT NULL DEFAULT 'new',
    total numeric(12, 2) NOT NULL,
    note text,
    placed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE shop.lines (
    order_id bigint NOT NULL REFERENCES shop.orders,
    line integer NOT NULL,
    product_id bigint NOT NULL REFERENCES shop.products,
    quantity integer NOT NULL,
    price numeric(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line)
);

CREATE TABLE shop.mark (id integer PRIMARY KEY, moved integer NOT NULL);

INSERT INTO shop.mark VALUES (1, 0);
INSERT INTO shop.customers (name, email)
SELECT 'Customer ' || i, 'customer' || i || '@example.com' FROM generate_series(1, 1000) AS i;
INSERT INTO shop.products (name, price, stock)
SELECT 'Product ' || i, round((1 + 99 * random())::numeric, 2), 1000 FROM generate_series(1, 200) AS i;
INSERT INTO shop.orders (customer_id, status, total)
SELECT 1 + i % 1000, 'paid', round((200 * random())::numeric, 2) FROM generate_series(1, 5000) AS i;
INSERT INTO shop.lines
SELECT i, 1, 1 + i % 200, 1, 9.90 FROM generate_series(1, 5000) AS i;

-- Three new orders of two lines, three status changes, two stock changes, at times a new customer, one old order
-- removed: about 17 rows. One order in fifty has a note so long that it is stored out of line (TOAST). Returns the
-- number of rows changed.
CREATE FUNCTION shop.trade() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    changed integer := 0;
    touched integer;
    placed bigint;
    oldest bigint := (SELECT min(id) FROM shop.orders);
    newest bigint := (SELECT max(id) FROM shop.orders);
BEGIN
    IF random() < 0.2 THEN
        INSERT INTO shop.customers (name, email) VALUES ('New customer', 'new@example.com');
        changed := changed + 1;
    END IF;
    FOR i IN 1..3 LOOP
        INSERT INTO shop.orders (customer_id, total, note)
        VALUES (1 + floor(1000 * random()), round((200 * random())::numeric, 2),
            CASE WHEN random() < 0.02 THEN (SELECT string_agg(md5(random()::text), ' ') FROM generate_series(1, 90))
                 WHEN random() < 0.5 THEN 'leave at the door' END)
        RETURNING id INTO placed;
        INSERT INTO shop.lines SELECT placed, line, 1 + floor(200 * random()), 1 + floor(5 * random()), 9.90
        FROM generate_series(1, 2) AS line;
        changed := changed + 3;
    END LOOP;
    UPDATE shop.orders SET status = (ARRAY['paid', 'packed', 'sent'])[1 + floor(3 * random())]
    WHERE id IN (SELECT oldest + floor((newest - oldest) * random())::bigint FROM generate_series(1, 3));
    GET DIAGNOSTICS touched = ROW_COUNT;
    changed := changed + touched;
    UPDATE shop.products SET stock = stock - 1 WHERE id IN (1 + floor(200 * random()), 1 + floor(200 * random()));
    GET DIAGNOSTICS touched = ROW_COUNT;
    changed := changed + touched;
    DELETE FROM shop.lines WHERE order_id = oldest;
    GET DIAGNOSTICS touched = ROW_COUNT;
    changed := changed + touched;
    DELETE FROM shop.orders WHERE id = oldest;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN changed + touched;
END $$;
