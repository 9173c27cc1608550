-- Takes or renews the archiver's lease, unless another holds it.
UPDATE archiver_lease
SET holder = @holder, expires_at = clock_timestamp() + make_interval(secs => @ttl::double precision)
WHERE holder = @holder
   OR expires_at < clock_timestamp()
   OR expires_at > clock_timestamp() + 4 * make_interval(secs => @ttl::double precision)
