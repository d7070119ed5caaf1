#!/bin/sh
# Prints one word.
shuf -n 1 <<'WORDS'
container
pipeline
harbour
lantern
meadow
WORDS
