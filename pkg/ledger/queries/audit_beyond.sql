-- Rows of a sale that no commit up to its cursor wrote.
SELECT 'decisions' AS table, position::text AS key, position
FROM decisions
WHERE sale_id = @sale AND (position > @position OR position < 1)
UNION ALL
SELECT 'commits', generation || '/' || sequence, position
FROM commits
WHERE sale_id = @sale AND (generation, sequence) > (@generation, @sequence)
ORDER BY 1, 3
LIMIT @most
