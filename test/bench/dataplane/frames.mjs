/** The one WebSocket message that is sent to and fro: a text of 32 characters (RFC 6455, 5.2). Pure. */

const TEXT = Buffer.alloc(32, 'x');
const FINAL_TEXT = 0x81;
const MASKED = 0x80;
const MASK = Buffer.from([1, 2, 3, 4]);

/** From the client, which must mask what it says. */
export const ASKED = Buffer.concat([
  Buffer.from([FINAL_TEXT, MASKED | TEXT.length]),
  MASK,
  TEXT.map((byte, i) => byte ^ (MASK[i % MASK.length] ?? 0)),
]);
export const ASKED_BYTES = ASKED.length;
export const ANSWER = Buffer.concat([Buffer.from([FINAL_TEXT, TEXT.length]), TEXT]);
