-- Rows of sales that do not exist, and archived sales without an archive. Attempts of
-- no sale have number 0.
SELECT t.name AS table, t.key, t.sale_id AS position
FROM (
    SELECT 'decisions' AS name, sale_id || '/' || position AS key, sale_id FROM decisions
    UNION ALL SELECT 'items', item_id::text, sale_id FROM items
    UNION ALL SELECT 'commits', sale_id || '/' || generation || '/' || sequence, sale_id FROM commits
    UNION ALL SELECT 'checkout_attempts', attempt_id::text, sale_id FROM checkout_attempts WHERE sale_id <> 0
) AS t
WHERE NOT EXISTS (SELECT FROM sales WHERE sales.sale_id = t.sale_id)
UNION ALL
SELECT 'sales', s.sale_id::text, s.sale_id
FROM sales AS s
WHERE s.state = 'archived' AND NOT EXISTS (SELECT FROM archives AS a WHERE a.sale_id = s.sale_id)
ORDER BY 1, 2
LIMIT @most
