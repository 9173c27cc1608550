#!/bin/sh
# Makes what is not there of a deployment's secrets, a folder for each identity,
# and writes the stores' own from them. What is there is kept, so that it may be
# run at any time; to change a password, remove its file and run it again.
#
#   deployments/secrets.sh [FOLDER]        default: deployments/secrets
#
# NATS_SERVERS   names of NATS's servers; default: nats
#
# The files are readable by all, for each container reads its own as a user that
# this machine does not know: the folder, or the volume, keeps everyone else out.
set -eu
umask 022

dir=${1:-$(dirname "$0")/secrets}
mkdir -p "$dir"
[ -n "${1:-}" ] || chmod 700 "$dir"

random() { # BYTES, as hex
	od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'
}

# write leaves a file alone that says the same, and never half a one.
write() { # NAME, content from stdin
	mkdir -p "$dir/${1%/*}"
	cat >"$dir/$1.new"
	chmod 444 "$dir/$1.new"
	if cmp -s "$dir/$1.new" "$dir/$1"; then rm -f "$dir/$1.new"; else mv -f "$dir/$1.new" "$dir/$1"; fi
}

# password prints the one in a file's URL, or a new one.
password() { # NAME
	{ cat "$dir/$1" 2>/dev/null || true; } | sed -n '1s|^[a-z]*://[^:]*:\([0-9a-f]*\)@.*|\1|p' | grep . || random 24
}

if [ ! -e "$dir/edge/code_keys.json" ]; then
	key=$(head -c 32 /dev/urandom | base64 | tr -d '\n')
	printf '{"keys":[{"id":1,"secret":"%s"}]}\n' "$key" | write edge/code_keys.json
fi

[ -e "$dir/postgres/password" ] || random 24 | write postgres/password
for role in migrate edge allocator recorder scheduler archiver auditor operator; do
	password=$(password "$role/database_url")
	echo "postgres://notsale_$role:$password@postgres:5432/notsale?sslmode=disable" | write "$role/database_url"
	echo "DO \$\$ BEGIN CREATE ROLE notsale_$role LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;"
	echo "ALTER ROLE notsale_$role PASSWORD '$password';"
done | write postgres/roles.sql

for user in edge allocator recorder scheduler archiver auditor operator; do
	password=$(password "$user/nats_url")
	for server in ${NATS_SERVERS:-nats}; do
		printf '%snats://%s:%s@%s:4222' "${urls:+,}" "$user" "$password" "$server"
		urls=more
	done | write "$user/nats_url"
	echo "${user}_password: \"$password\""
done | write nats/passwords.conf
route=$({ cat "$dir/nats/routes.conf" 2>/dev/null || true; } | sed -n 's|^route_password: "\(.*\)"$|\1|p' | grep . || random 24)
{ # of a cluster
	echo "route_password: \"$route\""
	echo "routes_of_all: ["
	for server in ${NATS_SERVERS:-nats}; do echo "  \"nats://route:$route@$server:6222\""; done
	echo "]"
} | write nats/routes.conf

edge=$(password edge/redis_url)
allocator=$(password allocator/redis_url)
{
	echo "user default off"
	echo "user edge on >$edge ~notsale:* -@all +get +hmget +client|setname"
	echo "user allocator on >$allocator ~notsale:* -@all +get +hmget +client|setname +eval +hget +hset +del +set +expire"
} | write redis/users.acl
echo "redis://edge:$edge@redis:6379/0" | write edge/redis_url
echo "redis://allocator:$allocator@redis:6379/0" | write allocator/redis_url

echo "the secrets are in $dir"
