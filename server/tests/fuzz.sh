#!/bin/sh
# Tries the API with requests that are made from its description, valid ones and others: none may fail on the server's
# side, and every answer must be as described.
#
#   server/tests/fuzz.sh DEMO [UNPROMPT]
#
# DEMO is the folder of `unprompt demo --no-serve --dir DEMO`; UNPROMPT the program, target/release/unprompt by default.
# Needs Python 3 with pip, which fetches schemathesis and a validator of OpenAPI.
set -eu

demo=$1 unprompt=${2:-target/release/unprompt}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
python3 -m pip install -q --root-user-action=ignore --target "$work/lib" schemathesis==4.32.5 openapi-spec-validator==0.9.0
export PYTHONPATH="$work/lib"

"$unprompt" serve "$demo/index-5000" --bind 127.0.0.1:0 --images "$demo/images" -q >"$work/address" &
server=$!
while [ ! -s "$work/address" ]; do
    kill -0 "$server"
    sleep 0.1
done
read -r address <"$work/address"
cd "$work"
python3 -c 'import sys, urllib.request as r; r.urlretrieve(*sys.argv[1:])' "${address}openapi.json" openapi.json
lib/bin/openapi-spec-validator openapi.json
lib/bin/schemathesis run "${address}openapi.json" --max-examples 100 --seed 1 --no-color \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection
