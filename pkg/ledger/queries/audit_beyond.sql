-- Rows of a sale that no commit up to its cursor wrote.
SELECT 'decisions', position::text, position
FROM decisions
WHERE sale_id = $1 AND (position > $2 OR position < 1)
UNION ALL
SELECT 'commits', generation || '/' || sequence, position
FROM commits
WHERE sale_id = $1 AND (generation, sequence) > ($3, $4)
ORDER BY 1, 3
LIMIT $5
