-- What is known for good about requests, each with its sale's UUID, item, user and
-- code (all zeros: a checkout). It is one snapshot: a request that has no decision in
-- it, while its item or sale is sold or its user at the limit, never gets the item.
-- @limits: look for users at their limit, too, which reads the sales' items. If a
-- grant is among the answers, the statement waits for a synchronous standby as
-- confirm.sql does.
WITH asked AS MATERIALIZED (
    SELECT q.number, q.item_id, q.user_id, q.code_id, s.sale_id, s.first_item, s.last_item, s.user_limit
    FROM unnest(@sales::uuid[], @items::bigint[], @users::text[], @codes::uuid[]) WITH ORDINALITY AS q (sale_uuid, item_id, user_id, code_id, number)
    LEFT JOIN sales AS s USING (sale_uuid)
), at_limit AS MATERIALIZED (
    SELECT i.sale_id, i.user_id
    FROM (SELECT DISTINCT sale_id, first_item, last_item, user_limit FROM asked WHERE @limits) AS s
    JOIN items AS i ON i.item_id BETWEEN s.first_item AND s.last_item AND i.sale_id = s.sale_id
    WHERE i.user_id IN (SELECT user_id FROM asked)
    GROUP BY i.sale_id, i.user_id, s.user_limit
    HAVING count(*) >= s.user_limit
), verdicts AS MATERIALIZED (
    SELECT a.number,
           COALESCE(c.sold = c.stock, false) AS sold_out,
           l.user_id IS NOT NULL AS limit_reached,
           COALESCE(i.code_id <> a.code_id, false) AS taken,
           d.position, d.code_id, d.item_id, d.user_id, COALESCE(d.reason, 0) AS reason, COALESCE(d.decided_at, 'epoch') AS decided_at
    FROM asked AS a
    LEFT JOIN decisions AS d ON d.code_id = a.code_id
    LEFT JOIN cursors AS c ON c.sale_id = a.sale_id
    LEFT JOIN items AS i ON i.item_id = a.item_id AND i.sale_id = a.sale_id
    LEFT JOIN at_limit AS l ON l.sale_id = a.sale_id AND l.user_id = a.user_id
), confirmed AS MATERIALIZED (
    SELECT pg_logical_emit_message(true, 'notsale', 'confirm')
    WHERE current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery()
      AND EXISTS (SELECT FROM verdicts WHERE position IS NOT NULL AND reason = 0)
)
SELECT sold_out, limit_reached, taken, position, code_id, item_id, user_id, reason, decided_at
FROM verdicts, (SELECT count(*) FROM confirmed) AS waited
ORDER BY number
