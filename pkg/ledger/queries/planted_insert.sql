-- planted_insert
-- A planted bug: the decisions of a batch, without the fence.
WITH decided AS MATERIALIZED (
    SELECT d.position, NULLIF(d.code_id, '00000000-0000-0000-0000-000000000000') AS code_id,
           d.item_id, d.user_id, d.reason, d.decided_at
    FROM unnest(@positions::bigint[], @codes::uuid[], @items::bigint[], @users::text[], @reasons::smallint[], @times::timestamptz[])
        AS d (position, code_id, item_id, user_id, reason, decided_at)
), recorded AS (
    INSERT INTO decisions (sale_id, position, code_id, item_id, user_id, reason, decided_at)
    SELECT @sale, position, code_id,
           CASE WHEN code_id IS NOT NULL THEN item_id END, CASE WHEN code_id IS NOT NULL THEN user_id END,
           reason, decided_at
    FROM decided
)
INSERT INTO items (item_id, sale_id, user_id, code_id, position, sold_at)
SELECT item_id, @sale, user_id, code_id, position, decided_at FROM decided WHERE reason = 0
