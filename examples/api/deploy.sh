#!/bin/sh
# Deploys the component `web` of the project `shop` over the HTTP API and shows how it is:
#
#   API=http://127.0.0.1:7070 TOKEN=… sh deploy.sh shop.json
set -eu
: "${API:=http://127.0.0.1:7070}" "${TOKEN:?is the token: gantryd token create ci --role deploy}"

ask() {
  curl --silent --show-error --fail-with-body --header "Authorization: Bearer $TOKEN" "$@"
  echo
}

# The project file, as `gantryd setconfig` stores it: nothing that runs changes yet.
ask --request PUT "$API/v1/projects/shop/config" --header 'Content-Type: application/json' --data-binary "@$1"

# A new release, host by host. The answer comes when it serves everywhere, or has failed.
ask --request POST "$API/v1/projects/shop/components/web/update?wait=5m"

# How it is on each host.
ask "$API/v1/projects/shop/components/web"
