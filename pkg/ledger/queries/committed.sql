-- Whether a commit of the sale ended with just this cursor.
SELECT EXISTS (SELECT FROM commits WHERE sale_id = @sale AND generation = @generation AND sequence = @sequence AND chain = @chain)
