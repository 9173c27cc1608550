#!/bin/sh
# Makes the passwords and the code key of the compose deployment, each file
# once: a file that is there is kept. To change the passwords, delete the
# folder's files and the stores' volumes.
#
#   deployments/secrets.sh [FOLDER]        default: deployments/secrets
#
# The folder is the owner's alone. The files in it are readable by all,
# because each container reads its own as a user that this machine does not
# know; the folder keeps everyone else out.
set -eu
umask 077

dir=${1:-$(dirname "$0")/secrets}
mkdir -p "$dir"
chmod 700 "$dir"

random() { # BYTES, as hex
	od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'
}

write() { # NAME, content from stdin; never half a file
	cat >"$dir/$1.new"
	chmod 444 "$dir/$1.new"
	mv "$dir/$1.new" "$dir/$1"
}

if [ ! -e "$dir/code_keys.json" ]; then
	key=$(head -c 32 /dev/urandom | base64 | tr -d '\n')
	printf '{"keys":[{"id":1,"secret":"%s"}]}\n' "$key" | write code_keys.json
fi

# The passwords of one store stand in several files: all are made, or none.
if [ ! -e "$dir/complete" ]; then
	random 24 | write postgres_password
	for role in migrate edge allocator recorder scheduler archiver auditor operator; do
		password=$(random 24)
		echo "CREATE ROLE notsale_$role LOGIN PASSWORD '$password';"
		echo "postgres://notsale_$role:$password@postgres:5432/notsale?sslmode=disable" | write "${role}_database_url"
	done | write postgres_roles.sql

	for user in edge allocator recorder scheduler auditor operator; do
		password=$(random 24)
		echo "${user}_password: \"$password\""
		echo "nats://$user:$password@nats:4222" | write "${user}_nats_url"
	done | write nats_passwords.conf

	edge=$(random 24)
	allocator=$(random 24)
	{
		echo "user default off"
		echo "user edge on >$edge ~* &* -@all +@read +@connection -@dangerous"
		echo "user allocator on >$allocator ~* &* -@all +@read +@write +@connection +eval -@dangerous"
	} | write redis_users.acl
	echo "redis://edge:$edge@redis:6379/0" | write edge_redis_url
	echo "redis://allocator:$allocator@redis:6379/0" | write allocator_redis_url

	: | write complete
fi
echo "the secrets are in $dir"
