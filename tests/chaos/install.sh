#!/bin/sh
# What the full chaos suite needs beside the wheels, on Debian: another clock for a program, and a
# pooler. Scenarios that lack something are left out, and say so.
set -eu
apt-get update -qq
apt-get install -y -qq --no-install-recommends libfaketime pgbouncer
# The pooler runs as a child of the suite, not as a service of the machine.
if [ -d /run/systemd/system ]; then systemctl disable --now pgbouncer || true; fi
