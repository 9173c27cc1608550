-- Whether a commit of sale $1 left its cursor in generation $2 at sequence $3 with chain $4.
SELECT EXISTS (SELECT FROM commits WHERE sale_id = $1 AND generation = $2 AND sequence = $3 AND chain = $4)
