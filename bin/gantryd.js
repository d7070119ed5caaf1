#!/usr/bin/env -S node --
import { main } from '../dist/src/cli/main.js';

await main('gantryd');
