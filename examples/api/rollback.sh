#!/bin/sh
# Takes the component `web` of the project `shop` back to the release before, on all hosts at once:
#
#   API=http://127.0.0.1:7070 TOKEN=… sh rollback.sh
set -eu
: "${API:=http://127.0.0.1:7070}" "${TOKEN:?is the token: gantryd token create ci --role deploy}"

curl --silent --show-error --fail-with-body --header "Authorization: Bearer $TOKEN" \
  --request POST "$API/v1/projects/shop/components/web/rollback?wait=1m"
