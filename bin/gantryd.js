#!/usr/bin/env -S node --
import { gantryd } from '../dist/src/cli/gantryd.js';

await gantryd();
