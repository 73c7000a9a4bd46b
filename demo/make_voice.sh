#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Speak the sample line with Flite's voice "slt" (needs Debian's package flite).
set -eu
cd "$(dirname "$0")"
flite -voice slt -o voice.wav -t \
  "The morning was quiet. Then your letter came, and I could not stop smiling! But now, everyone is gone."
