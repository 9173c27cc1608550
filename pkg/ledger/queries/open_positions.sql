-- How far each open sale is decided.
SELECT sale_id, c.position
FROM sales AS s
JOIN cursors AS c USING (sale_id)
WHERE s.state = 'open'
