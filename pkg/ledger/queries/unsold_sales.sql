-- The sales that are opening or still sell.
SELECT sale_id FROM sales WHERE state IN ('preparing', 'open') ORDER BY sale_id
