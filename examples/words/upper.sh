#!/bin/sh
# Prints what it reads, in capitals.
tr '[:lower:]' '[:upper:]'
