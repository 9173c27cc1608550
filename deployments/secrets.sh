#!/bin/sh
# Makes what is not there of a deployment's secrets, a folder for each identity,
# and writes the stores' own from them. What is there is kept, so that it may be
# run at any time; to change a password, remove its file and run it again.
#
#   deployments/secrets.sh [FOLDER]        default: deployments/secrets
#
# NATS_SERVERS   names of NATS's servers; default: nats
# TLS            on: the stores speak TLS alone, with certificates of a CA of the
#                folder's own, made anew a month before they end; default: off
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

# write leaves a file alone that says the same, and never half a one. What a run
# that was killed left beside it cannot be written to, not even by root of a container.
write() { # NAME, content from stdin
	mkdir -p "$dir/${1%/*}"
	rm -f "$dir/$1.new"
	cat >"$dir/$1.new"
	chmod 444 "$dir/$1.new"
	if cmp -s "$dir/$1.new" "$dir/$1"; then rm -f "$dir/$1.new"; else mv -f "$dir/$1.new" "$dir/$1"; fi
}

# password prints the one in a file's URL, or a new one.
password() { # NAME
	{ cat "$dir/$1" 2>/dev/null || true; } | sed -n '1s|^[a-z]*://[^:]*:\([0-9a-f]*\)@.*|\1|p' | grep . || random 24
}

stores="postgres redis nats"
roles="edge allocator recorder scheduler archiver auditor operator"

case ${TLS:-off} in
on) options="sslmode=verify-full&sslrootcert=/run/secrets/ca.pem" nats=tls redis=rediss ;;
off) options="sslmode=disable" nats=nats redis=redis ;;
*)
	echo "TLS is $TLS: want on or off" >&2
	exit 2
	;;
esac

# sign makes a key and a certificate of it.
sign() { # FOLDER DAYS EXTENSIONS [OPTION...]
	folder=$1 days=$2
	mkdir -p "$dir/$folder"
	rm -f "$dir/$folder/key.new" "$dir/$folder/cert.new"
	printf '[req]\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\n[ext]\n%s\n' "$3" >"$dir/ca/request"
	shift 3
	openssl req -config "$dir/ca/request" -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch \
		-subj "/CN=notsale $folder" -days "$days" -keyout "$dir/$folder/key.new" -out "$dir/$folder/cert.new" "$@" 2>"$dir/ca/log" ||
		{ cat "$dir/ca/log" >&2; exit 1; }
	mode=444
	case $folder in ca | postgres) mode=400 ;; esac # Postgres takes no key that others may read
	chmod "$mode" "$dir/$folder/key.new"
	if [ "$folder" = postgres ] && [ "$(id -u)" = 0 ]; then chown 999:999 "$dir/$folder/key.new"; fi
	mv -f "$dir/$folder/key.new" "$dir/$folder/key.pem"
	mv -f "$dir/$folder/cert.new" "$dir/$folder/cert.pem"
}

# good tells whether a server's certificate is the CA's, of its names, and lasts.
good() { # FOLDER NAME...
	cert=$dir/$1/cert.pem
	shift
	openssl verify -CAfile "$dir/ca/cert.pem" "$cert" >/dev/null 2>&1 && openssl x509 -noout -checkend 2592000 -in "$cert" >/dev/null || return 1
	for name in "$@"; do
		openssl x509 -noout -checkhost "$name" -in "$cert" | grep -q 'does match' || return 1
	done
}

if [ "${TLS:-off}" = on ]; then
	mkdir -p "$dir/ca"
	[ -s "$dir/ca/cert.pem" ] || sign ca 36500 "basicConstraints=critical,CA:true
keyUsage=critical,keyCertSign"
	for store in $stores; do
		names=$store
		[ "$store" = nats ] && names=${NATS_SERVERS:-nats}
		# shellcheck disable=SC2086 # they are several
		good "$store" $names || sign "$store" 397 "basicConstraints=critical,CA:false
subjectAltName=$(printf 'DNS:%s,' $names | sed 's/,$//')" -CA "$dir/ca/cert.pem" -CAkey "$dir/ca/key.pem"
	done
	for identity in $stores $roles migrate; do write "$identity/ca.pem" <"$dir/ca/cert.pem"; done
	echo 'tls { cert_file: "/etc/nats/secrets/cert.pem", key_file: "/etc/nats/secrets/key.pem", ca_file: "/etc/nats/secrets/ca.pem", timeout: 2 }' | write nats/tls.conf
else
	echo '# no TLS' | write nats/tls.conf
fi

if [ ! -s "$dir/codes/keys.json" ]; then
	key=$(head -c 32 /dev/urandom | base64 | tr -d '\n')
	printf '{"keys":[{"id":1,"secret":"%s"}]}\n' "$key" | write codes/keys.json
fi

[ -s "$dir/postgres/password" ] || random 24 | write postgres/password
for role in migrate $roles; do
	password=$(password "$role/database_url")
	echo "postgres://notsale_$role:$password@postgres:5432/notsale?$options" | write "$role/database_url"
	echo "DO \$\$ BEGIN CREATE ROLE notsale_$role LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;"
	echo "ALTER ROLE notsale_$role PASSWORD '$password';"
done | write postgres/roles.sql

for user in $roles; do
	password=$(password "$user/nats_url")
	for server in ${NATS_SERVERS:-nats}; do
		printf '%s%s://%s:%s@%s:4222' "${urls:+,}" "$nats" "$user" "$password" "$server"
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
echo "$redis://edge:$edge@redis:6379/0" | write edge/redis_url
echo "$redis://allocator:$allocator@redis:6379/0" | write allocator/redis_url

sync # before anybody signs or stores with them
echo "the secrets are in $dir"
