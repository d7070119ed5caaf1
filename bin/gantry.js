#!/usr/bin/env -S node --
import { gantry } from '../dist/src/cli/gantry.js';

await gantry();
