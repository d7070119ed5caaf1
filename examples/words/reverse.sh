#!/bin/sh
# Prints each line that it reads backwards.
rev
