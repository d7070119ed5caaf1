/** Loaded into an agent before all else: shifts its clock by what a file says, read anew at each SIGUSR2. */
import { readFileSync } from 'node:fs';

const file = process.env.CAMPAIGN_CLOCK_FILE;
const RealDate = Date;
const realNow = Date.now;
let offsetMs = 0;

class ShiftedDate extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(ShiftedDate.now());
    else super(...args);
  }

  static now() {
    return realNow() + offsetMs;
  }
}

if (file !== undefined) {
  globalThis.Date = ShiftedDate;
  process.on('SIGUSR2', read);
  read();
}

function read() {
  offsetMs = Number(readFileSync(file, 'utf8'));
}
