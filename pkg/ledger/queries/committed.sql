-- Whether a commit of the sale left its cursor at just this place.
SELECT EXISTS (SELECT FROM commits WHERE sale_id = @sale AND generation = @generation AND sequence = @sequence AND chain = @chain)
